"""The picture in each README shows what a newcomer gets."""

import html
import json
import re
import runpy
from pathlib import Path

import pytest
from click.testing import CliRunner

from steadyrag.cli import cli

QUESTIONS = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "pictures.py"))["QUESTIONS"]
ROOT = Path(__file__).parents[2]
EDITIONS = {"README.md": "answer.svg", "README.ko.md": "answer.ko.svg"}
RIVALS = ("docs/resilience.md", "docs/retrieval.md")
"""What else says most of rerankers. To embed all that `make run` does takes a minute."""


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    environment = {"STEADYRAG_DATA_DIR": str(tmp_path_factory.mktemp("data"))}
    paths = [str(ROOT / name) for name in (*EDITIONS, *RIVALS)]
    done = CliRunner().invoke(cli, ["ingest", *paths], env=environment)
    assert done.exit_code == 0, done.output
    return environment


@pytest.mark.parametrize(("edition", "picture"), EDITIONS.items())
def test_the_question_shown_gets_the_answer_shown(indexed, edition, picture):
    assert f"docs/images/{picture}" in (ROOT / edition).read_text(encoding="utf-8")
    drawing = (ROOT / "docs" / "images" / picture).read_text(encoding="utf-8")
    shown = squeezed(" ".join(re.findall(r"<text[^>]*>([^<]*)</text>", drawing)))
    question = re.search(r'{"query":"(.*?)"}', shown)[1]
    [query] = [q for q in QUESTIONS.values() if squeezed(q) == question]
    done = CliRunner().invoke(cli, ["search", query, "--json"], env=indexed)
    answer = json.loads(done.stdout)
    assert squeezed(answer["answer"]) in shown, "draw it again: make run, make pictures"
    assert answer["sources"][0]["document_id"] == edition
    assert answer["mode"] == "full"


def squeezed(text: str) -> str:
    """Without white space: where lines break in the picture doesn't matter."""
    return "".join(html.unescape(text).split())
