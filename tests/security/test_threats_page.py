"""The page on threats names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", PAGE)
THREATS = [line for line in PAGE.splitlines() if line.startswith("| ")][1:]


def defined(path: Path) -> set[str]:
    """Every test in a file, as `Class::test` or `test`."""
    tests: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        tests |= {
            prefix + one.name
            for one in inside
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        }
    return tests


@pytest.mark.parametrize(("path", "test"), NAMED)
def test_it_exists(path: str, test: str) -> None:
    assert test in defined(ROOT / path)


@pytest.mark.parametrize("row", THREATS, ids=lambda row: row[2:40])
def test_every_threat_names_a_test_or_says_that_there_is_nothing_yet(row: str) -> None:
    assert "::test_" in row or "Not there yet" in row
