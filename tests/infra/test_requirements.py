"""What is pinned is what pyproject.toml asks for."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS: dict[str, list[Any]] = PROJECT["dependency-groups"]
APART = {"build", "sam", "cloud", "lint", "runtime"}
"""Groups for an environment without the project's own dependencies."""


def asked(group: str) -> Iterator[Requirement]:
    for entry in GROUPS[group]:
        if isinstance(entry, dict):
            yield from asked(entry["include-group"])
        else:
            yield Requirement(entry)


def expected(name: str) -> list[Requirement]:
    own = [] if name in APART else [Requirement(r) for r in PROJECT["project"]["dependencies"]]
    return own + ([] if name == "lambda" else list(asked(name)))


def pinned(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==([^ ;\\]+)", text, re.MULTILINE))


def test_every_group_is_pinned_in_a_file():
    files = {path.stem for path in (ROOT / "requirements").glob("*.txt")}
    assert files == {"lambda", *GROUPS}


@pytest.mark.parametrize("name", ["lambda", *GROUPS])
def test_a_file_pins_what_is_asked_for(name):
    versions = pinned(name)
    missing = [
        str(requirement)
        for requirement in expected(name)
        if requirement.name not in versions
        or not requirement.specifier.contains(versions[requirement.name])
    ]
    assert missing == [], "run `make lock`"


def test_the_build_system_is_the_one_that_is_pinned():
    assert PROJECT["build-system"]["requires"] == GROUPS["build"]
