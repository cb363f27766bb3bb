"""`steadyrag ingest` as it is typed, with the embedded default behind it."""

import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from steadyrag.cli import cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEADYRAG_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["ingest", *arguments])


def table(result: Result) -> dict[str, str]:
    """The summary's left half, by row."""
    rows = [line.split() for line in result.stdout.splitlines()[1:]]
    return {row[0]: row[1] for row in rows if row}


def test_a_folder_goes_in_and_the_second_time_nothing_is_left_to_do(folder: Path) -> None:
    (folder / "환불.md").write_text("# 환불\n\n열흘 안에 됩니다.", encoding="utf-8")
    first = run("docs")
    assert first.exit_code == 0, first.output
    assert "Ingesting: 1 in " in first.stderr
    assert table(first)["added"] == "1"
    second = run("docs")
    assert second.exit_code == 0
    assert (table(second)["added"], table(second)["unchanged"]) == ("0", "1")


def test_a_broken_file_is_named_and_the_exit_code_says_so(folder: Path) -> None:
    (folder / "good.txt").write_text("Good.")
    (folder / "bad[1].docx").write_bytes(b"not a document")
    (folder / "logo.png").write_bytes(b"png")
    result = run("docs")
    assert result.exit_code == 1
    assert "failed: docs/bad[1].docx: is not a Word document, or is damaged" in result.stderr
    assert "type is not read: .png (1)" in result.stderr
    assert (table(result)["added"], table(result)["failed"]) == ("1", "1")


def test_sources_link_below_the_base_address(folder: Path) -> None:
    (folder / "a b.txt").write_text("Text.")
    assert run("docs", "--base-url", "https://example.com/d/").exit_code == 0
    with sqlite3.connect(folder.parent / "data" / "index.sqlite") as database:
        dump = "\n".join(database.iterdump())
    database.close()
    assert "https://example.com/d/a%20b.txt" in dump


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["nowhere"], "nowhere does not exist"),
        (["docs", "--namespace", "a b"], "--namespace"),
        (["docs", "--base-url", "example.com"], "must start with https://"),
    ],
)
def test_wrong_usage_is_exit_code_2(folder: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_empty_folder_is_not_a_success(folder: Path) -> None:
    result = run("docs")
    assert result.exit_code == 1
    assert f"no documents in {folder}" in result.stderr


def test_a_rebuild_replaces_an_index_that_another_embedder_made(folder: Path) -> None:
    (folder / "a.txt").write_text("Some text.")
    assert run("docs").exit_code == 0
    with sqlite3.connect(folder.parent / "data" / "index.sqlite") as database:
        changed = database.execute(
            "update meta set value = 'another/384' where key = 'embedder'"
        ).rowcount
    database.close()
    assert changed == 1
    refused = run("docs", "--rebuild")
    assert refused.exit_code == 0, refused.output
    assert table(refused)["added"] == "1"
