"""Reads `template.yaml` and the nested ones as CloudFormation would: tags, parameters,
conditions."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
NOTHING = object()
"""What `AWS::NoValue` resolves to; it takes its key or list item with it."""

PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "123456789012",
    "AWS::StackName": "stack",
    "AWS::URLSuffix": "amazonaws.com",
}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, in their long form."""


def _tag(loader: yaml.Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tag)


def read(path: Path) -> dict[str, Any]:
    """A template file with its short tags in their long form."""
    loaded: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 - it is safe
    return loaded


def shown(value: Any) -> str:
    """A value, or a reference that stays one, as text: `Data.Outputs.KeyArn`."""
    if isinstance(value, dict) and len(value) == 1:
        ((function, operand),) = value.items()
        if function == "Fn::GetAtt":
            return ".".join(operand)
        if function in ("Ref", "Fn::Sub"):
            return shown(operand)
    return str(value)


def _over(shared: Any, own: Any) -> Any:
    """SAM's way with `Globals`: maps are merged, lists follow each other, the rest is the
    function's own."""
    if isinstance(shared, dict) and isinstance(own, dict):
        keys = [*shared, *(key for key in own if key not in shared)]
        return {
            key: _over(shared[key], own[key])
            if key in shared and key in own
            else own.get(key, shared.get(key))
            for key in keys
        }
    if isinstance(shared, list) and isinstance(own, list):
        return [*shared, *own]
    return own


class Template:
    """A template with values for its parameters; those not given have their default."""

    def __init__(
        self, source: Path | dict[str, Any] = ROOT / "template.yaml", **parameters: Any
    ) -> None:
        loaded = source if isinstance(source, dict) else read(source)
        self.raw: dict[str, Any] = loaded
        self.parameters: dict[str, dict[str, Any]] = loaded["Parameters"]
        unknown = parameters.keys() - self.parameters
        assert not unknown, f"the template has no parameter {unknown}"
        defaults = {
            name: str(parameter["Default"])
            for name, parameter in self.parameters.items()
            if "Default" in parameter
        }
        self._values = PSEUDO | defaults | parameters

    def of_type(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Resources of one type: logical id and resolved properties, with `Globals` in."""
        shared = self.raw.get("Globals", {}).get("Function", {})
        for name, resource in self.raw["Resources"].items():
            if resource["Type"] == kind and self.holds(resource.get("Condition")):
                own = resource.get("Properties", {})
                serverless = kind == "AWS::Serverless::Function"
                yield name, self.resolve(_over(shared, own) if serverless else own)

    def resources(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Logical id and resource of all that its conditions let be made, not resolved."""
        for name, resource in self.raw["Resources"].items():
            if self.holds(resource.get("Condition")):
                yield name, resource

    def nested(self, name: str) -> "Template":
        """A nested stack's template with what this one passes to it."""
        properties = dict(self.of_type("AWS::CloudFormation::Stack"))[name]
        return Template(ROOT / properties["TemplateURL"], **properties["Parameters"])

    def every(self) -> Iterator[tuple[str, "Template"]]:
        """This template under the name of Root, and each that it nests."""
        yield "Root", self
        for name, _ in self.of_type("AWS::CloudFormation::Stack"):
            yield name, self.nested(name)

    def resolve(self, node: Any) -> Any:
        """`node` with parameters and conditions worked out; references to resources stay."""
        if isinstance(node, list):
            return [part for part in map(self.resolve, node) if part is not NOTHING]
        if not isinstance(node, Mapping):
            return node
        if len(node) == 1:
            ((function, value),) = node.items()
            match function:
                case "Ref" if value == "AWS::NoValue":
                    return NOTHING
                case "Ref":
                    return self._values.get(value, node)
                case "Fn::Sub" if isinstance(value, str):
                    return re.sub(
                        r"\$\{([A-Za-z0-9:]+)\}",
                        lambda m: shown(self._values.get(m[1], m[0])),
                        value,
                    )
                case "Fn::If" if len(value) == 3:
                    return self.resolve(value[1] if self.holds(value[0]) else value[2])
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not NOTHING}

    def holds(self, condition: Any) -> bool:
        """Whether a condition, by name or spelt out, is true; so is none at all."""
        if condition is None:
            return True
        if isinstance(condition, str):
            return self.holds(self.raw["Conditions"][condition])
        ((function, operands),) = condition.items()
        match function:
            case "Condition":
                return self.holds(operands)
            case "Fn::Not":
                return not self.holds(operands[0])
            case "Fn::And":
                return all(map(self.holds, operands))
            case "Fn::Or":
                return any(map(self.holds, operands))
            case "Fn::Equals":
                left, right = map(self.resolve, operands)
                return str(left) == str(right)
        raise AssertionError(f"{function} is not known to this reader")
