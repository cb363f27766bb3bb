"""Who may do what to which resource, gathered from a transformed stack and its nested ones."""

from collections.abc import Iterator

from infra.cloudformation import Template, shown
from infra.stack import as_list, granted, statements, template, transformed

type Grant = tuple[str, str, str]
"""Role, action, resource. What other resources know the name of is written as they do."""


def every_grant(**parameters: str) -> set[Grant]:
    """All that is allowed to the roles of the stack that these parameters make."""
    root = transformed(**parameters)
    return set(_of_the_root(root)) | set(_of_the_nested(template(**parameters)))


def _of_the_root(root: Template) -> Iterator[Grant]:
    for role, _ in root.of_type("AWS::IAM::Role"):
        for statement in granted(root, role):
            yield from _grants(role, statement)


def _of_the_nested(root: Template) -> Iterator[Grant]:
    for name, nested in root.every():
        if name == "Root":
            continue
        for role, properties in nested.of_type("AWS::IAM::Role"):
            for statement in statements(properties):
                yield from _grants(f"{name}.{role}", statement)


def _grants(role: str, statement: dict[str, object]) -> Iterator[Grant]:
    if statement["Effect"] == "Allow":
        for action in as_list(statement["Action"]):
            for resource in as_list(statement["Resource"]):
                yield role, str(action), shown(resource)
