"""Every resource that the project's templates can make, as CloudFormation gets them: SAM's
transform done, nested templates followed, whatever their conditions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from e2e.stack import ROOT
from infra.cloudformation import read
from infra.transform import transform

NESTED = "AWS::CloudFormation::Stack"


@dataclass(frozen=True)
class Templates:
    """`parameters` are for the transform alone, which wants those without a default."""

    parameters: Mapping[str, str]

    @cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        """By logical id; those of a nested stack below its own id and a slash."""
        return dict(self._of(ROOT / "template.yaml", ""))

    def _of(self, path: Path, below: str) -> Iterator[tuple[str, dict[str, Any]]]:
        template = read(path)
        if "Transform" in template:
            template = transform(template, dict(self.parameters))
        for name, resource in template["Resources"].items():
            yield f"{below}{name}", resource
            if resource["Type"] == NESTED:
                nested = path.parent / resource["Properties"]["TemplateURL"]
                yield from self._of(nested, f"{below}{name}/")
