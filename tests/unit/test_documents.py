"""What the documents say is there, is there."""

import functools
import re
import subprocess
from pathlib import Path

import pytest

from steadyrag.api.problems import TYPES
from steadyrag.cli import cli
from steadyrag.settings import VARIABLES

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("infra/**/*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def make_targets() -> set[str]:
    listed = subprocess.run(
        ["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    ).stdout
    return set(re.findall(r"^\s+make ([a-z0-9-]+)", listed, re.MULTILINE))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(path):
    broken = [
        target
        for target in LINK.findall(text(path))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_make_target_exists(path):
    code = re.findall(r"```.*?```|`[^`\n]+`|^    [^\n]+", text(path), re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"\bmake ([a-z][a-z0-9-]*)(?![\w.])", "\n".join(code)))
    assert named <= make_targets()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_every_command_and_setting_exists(path):
    context = cli.make_context("steadyrag", [], resilient_parsing=True)
    commands = set(re.findall(r"[`$] ?steadyrag ([a-z]+)", text(path)))
    assert commands <= set(cli.list_commands(context))
    settings = set(re.findall(r"\bSTEADYRAG_[A-Z_]*[A-Z]\b", text(path)))
    assert settings <= set(VARIABLES)


PICTURES = ("answer", "architecture")


def test_the_readme_is_the_same_in_both_languages():
    english, korean = text(ROOT / "README.md"), text(ROOT / "README.ko.md")
    for part in (r"^#+", r"^\|", r"^- "):
        counts = [len(re.findall(part, page, re.MULTILINE)) for page in (english, korean)]
        assert counts[0] == counts[1], part
    pictures = {f"docs/images/{name}{ko}.svg" for name in PICTURES for ko in ("", ".ko")}
    pictures |= {"docs/images/console.png", "docs/images/console.ko.png"}
    own = {"README.md", "README.ko.md", *pictures}
    assert set(LINK.findall(english)) - own == set(LINK.findall(korean)) - own
    shell = [
        [
            [line.partition("#")[0].strip() for line in code.splitlines()]
            for _, code in BLOCK.findall(page)
            if "make deploy" in code
        ]
        for page in (english, korean)
    ]
    assert shell[0] == shell[1] != []


def test_the_api_page_names_every_problem():
    page = text(ROOT / "docs" / "api.md")
    for status in re.findall(r"^\| (\d{3}) \|", page, re.MULTILINE):
        assert f"| {status} | `{TYPES[int(status)]}` |" in page
