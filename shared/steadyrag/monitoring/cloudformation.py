"""A CloudFormation template as a stack would resolve it, nested stacks included.

What only a deployment knows stands as text that is the same every time: a resource as the name
that the template gives it, or else as its logical id, and an attribute of it as
`LogicalId.Attribute`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

STACK = "AWS::CloudFormation::Stack"
NO_VALUE = object()
"""What `AWS::NoValue` resolves to; it takes its key or list item with it."""

_NAMES = ("FunctionName", "QueueName", "TopicName", "AlarmName", "TableName", "BucketName", "Name")
_PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
}
_REFERENCE = re.compile(r"\$\{(!?)([A-Za-z0-9:.]+)\}")


class UnreadableTemplate(ValueError):
    """A template that is not there, is no template, or uses what is not understood here."""


class Template:
    """A template file with values for its parameters; those not given have their default, and
    without one stand as their own names."""

    def __init__(self, path: Path, parameters: Mapping[str, Any], *, stack: str) -> None:
        self.path = path
        self.raw = read(path)
        declared: Mapping[str, Any] = self.raw.get("Parameters", {})
        if unknown := parameters.keys() - declared.keys():
            raise UnreadableTemplate(f"{path} has no parameter {', '.join(sorted(unknown))}")
        defaults = {name: one.get("Default", name) for name, one in declared.items()}
        self._values = {**_PSEUDO, "AWS::StackName": stack, **defaults, **parameters}
        self._stack = stack
        self._nested: dict[str, Template] = {}

    def of_type(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Logical id and resolved properties of the resources that conditions let be made."""
        for name, resource in self.raw["Resources"].items():
            if resource["Type"] == kind and self.holds(resource.get("Condition")):
                yield name, self.resolve(resource.get("Properties", {}))

    def every(self) -> Iterator[Template]:
        """This template and all below it."""
        yield self
        for name, resource in self.raw["Resources"].items():
            if resource["Type"] == STACK and self.holds(resource.get("Condition")):
                yield from self.nested(name).every()

    def nested(self, name: str) -> Template:
        """A stack in this one, with what it is passed."""
        if name not in self._nested:
            properties = self.raw["Resources"][name]["Properties"]
            self._nested[name] = Template(
                self.path.parent / str(self.resolve(properties["TemplateURL"])),
                self.resolve(properties.get("Parameters", {})),
                stack=f"{self._stack}-{name}",
            )
        return self._nested[name]

    def output(self, name: str) -> Any:
        outputs = self.raw.get("Outputs", {})
        if name not in outputs:
            raise UnreadableTemplate(f"{self.path} has no output {name}")
        return self.resolve(outputs[name]["Value"])

    def holds(self, condition: Any) -> bool:
        """Whether a condition, by name or spelt out, is true; so is none at all."""
        match condition:
            case None:
                return True
            case str():
                return self.holds(self.raw.get("Conditions", {})[condition])
            case {"Condition": name}:
                return self.holds(name)
            case {"Fn::Not": [one]}:
                return not self.holds(one)
            case {"Fn::And": several}:
                return all(map(self.holds, several))
            case {"Fn::Or": several}:
                return any(map(self.holds, several))
            case {"Fn::Equals": [left, right]}:
                return str(self.resolve(left)) == str(self.resolve(right))
        raise UnreadableTemplate(f"{self.path}: the condition {condition} is not understood here")

    def resolve(self, node: Any) -> Any:
        """`node` with everything in it worked out."""
        match node:
            case list():
                return [part for part in map(self.resolve, node) if part is not NO_VALUE]
            case {"Ref": str(name), **rest} if not rest:
                return self._reference(name)
            case {"Fn::GetAtt": attribute, **rest} if not rest:
                path = attribute.split(".") if isinstance(attribute, str) else attribute
                return self._attribute(path[0], ".".join(path[1:]))
            case {"Fn::Sub": str(text), **rest} if not rest:
                return self._substituted(text, {})
            case {"Fn::Sub": [text, own], **rest} if not rest:
                return self._substituted(text, self.resolve(own))
            case {"Fn::If": [condition, then, other], **rest} if not rest:
                return self.resolve(then if self.holds(condition) else other)
            case {"Fn::Join": [separator, parts], **rest} if not rest:
                return separator.join(map(str, self.resolve(parts)))
            case {"Fn::Split": [separator, text], **rest} if not rest:
                return str(self.resolve(text)).split(separator)
            case {"Fn::Select": [place, parts], **rest} if not rest:
                return self.resolve(parts)[int(self.resolve(place))]
            case {**pairs} if len(pairs) == 1 and str(next(iter(pairs))).startswith("Fn::"):
                raise UnreadableTemplate(f"{self.path}: {pairs} is not understood here")
            case {**pairs}:
                resolved = {key: self.resolve(value) for key, value in pairs.items()}
                return {key: value for key, value in resolved.items() if value is not NO_VALUE}
        return node

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self._values:
            return self._values[name]
        logical_id, _, attribute = name.partition(".")  # SAM: Function.Alias
        return self._attribute(logical_id, attribute) if attribute else self._name(name)

    def _attribute(self, logical_id: str, attribute: str) -> Any:
        if attribute.startswith("Outputs."):
            return self.nested(logical_id).output(attribute.removeprefix("Outputs."))
        properties = self.raw["Resources"].get(logical_id, {}).get("Properties", {})
        if attribute in _NAMES and attribute in properties:
            return self.resolve(properties[attribute])
        return f"{logical_id}.{attribute}"

    def _name(self, logical_id: str) -> str:
        properties = self.raw["Resources"].get(logical_id, {}).get("Properties", {})
        named = next((properties[key] for key in _NAMES if key in properties), logical_id)
        return str(self.resolve(named))

    def _substituted(self, text: str, own: Mapping[str, Any]) -> str:
        def one(found: re.Match[str]) -> str:
            literal, name = found.groups()
            if literal:
                return f"${{{name}}}"
            return str(own[name] if name in own else self._reference(name))

        return _REFERENCE.sub(one, text)


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags, in their long form."""


def _tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tag)


def read(path: Path) -> dict[str, Any]:
    """A template file as it is written, short tags in their long form. Raises
    `UnreadableTemplate`."""
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - it is safe
    except (OSError, yaml.YAMLError) as error:
        raise UnreadableTemplate(f"{path}: {error}") from None
    if not isinstance(loaded, dict) or not isinstance(loaded.get("Resources"), dict):
        raise UnreadableTemplate(f"{path} holds no template")
    return loaded
