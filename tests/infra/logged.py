"""What the code logs and annotates, read from the code."""

import ast
from collections.abc import Iterator
from functools import cache

from infra.cloudformation import ROOT


@cache
def messages() -> frozenset[str]:
    """Every message of a log call."""
    return frozenset(
        argument.value
        for _, call in _calls("log")
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    )


@cache
def fields() -> frozenset[str]:
    """Every key that is passed as `extra`."""
    return frozenset(
        key
        for module, call in _calls("log")
        for keyword in call.keywords
        if keyword.arg == "extra"
        for key in _keys(keyword.value, module)
    )


@cache
def annotations() -> frozenset[str]:
    """Every fact that spans are annotated with."""
    return frozenset(
        key
        for module, call in _calls("spans")
        if isinstance(call.func, ast.Attribute) and call.func.attr == "annotate"
        for keyword in call.keywords
        for key in ([keyword.arg] if keyword.arg else _keys(keyword.value, module))
    )


def _calls(*owners: str) -> Iterator[tuple[ast.Module, ast.Call]]:
    """Every call `owner.something(…)`, with the module that it is in; of `tell`, too, whose
    second argument is like `extra`."""
    for path in (ROOT / "shared" / "steadyrag").rglob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name))) if name in owners:
                    yield module, node
                case ast.Call(func=ast.Name(id="tell"), args=[_, said]) if "log" in owners:
                    node.keywords.append(ast.keyword("extra", said))
                    yield module, node


def _keys(node: ast.expr, module: ast.Module) -> set[str]:
    """The keys of a mapping: spelt out, under a name, or made by a function of the module."""
    match node:
        case ast.Dict():
            return {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
        case ast.Name(id=name):
            return set(_named(name, module))
        case ast.Call(func=ast.Name(id=name)):
            return {
                key
                for made in ast.walk(module)
                if isinstance(made, ast.FunctionDef) and made.name == name
                for inside in ast.walk(made)
                if isinstance(inside, ast.Dict)
                for key in _keys(inside, module)
            }
    return set()


def _named(name: str, module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=target)], value=ast.Dict() as value)
                | ast.AnnAssign(target=ast.Name(id=target), value=ast.Dict() as value)
            ) if target == name:
                yield from _keys(value, module)
            case ast.Subscript(value=ast.Name(id=target), slice=ast.Constant(value=str(key))) if (
                target == name
            ):
                yield key
