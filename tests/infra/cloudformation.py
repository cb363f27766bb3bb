"""Reads `template.yaml` as CloudFormation would: tags, parameters, conditions."""

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


class Template:
    """A template with values for its parameters; those not given have their default."""

    def __init__(self, path: Path = ROOT / "template.yaml", **parameters: str) -> None:
        loaded = yaml.load(path.read_text(), _Loader)  # noqa: S506 - a subclass of SafeLoader
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
        shared = self.raw["Globals"].get("Function", {}) if kind.endswith("::Function") else {}
        for name, resource in self.raw["Resources"].items():
            if resource["Type"] == kind and self._holds(resource.get("Condition")):
                yield name, self.resolve({**shared, **resource.get("Properties", {})})

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
                        r"\$\{([A-Za-z0-9:]+)\}", lambda m: self._values.get(m[1], m[0]), value
                    )
                case "Fn::If":
                    return self.resolve(value[1] if self._holds(value[0]) else value[2])
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not NOTHING}

    def _holds(self, condition: Any) -> bool:
        if condition is None:
            return True
        if isinstance(condition, str):
            return self._holds(self.raw["Conditions"][condition])
        ((function, operands),) = condition.items()
        match function:
            case "Condition":
                return self._holds(operands)
            case "Fn::Not":
                return not self._holds(operands[0])
            case "Fn::And":
                return all(map(self._holds, operands))
            case "Fn::Or":
                return any(map(self._holds, operands))
            case "Fn::Equals":
                left, right = map(self.resolve, operands)
                return str(left) == str(right)
        raise AssertionError(f"{function} is not known to this reader")
