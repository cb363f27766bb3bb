"""Files, folders and BEIR sets as a corpus."""

import json
import os
import sys
import unicodedata
from pathlib import Path

import pytest

from steadyrag.adapters.parsers.files import FileCorpus
from steadyrag.adapters.parsers.registry import Parsers
from steadyrag.domain.documents import BrokenDocument, FoundDocument, UnreadableDocument
from steadyrag.domain.errors import ConfigError


def write(path: Path, text: str = "Text.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def corpus(*paths: Path, base_url: str | None = None, **limits) -> FileCorpus:
    return FileCorpus(paths, Parsers(**limits), base_url=base_url)


def ids(files: FileCorpus) -> list[str]:
    return [offer.document_id for offer in files]


def found(files: FileCorpus) -> list[FoundDocument]:
    return [offer for offer in files if isinstance(offer, FoundDocument)]


def broken(files: FileCorpus) -> dict[str, str]:
    return {o.document_id: o.reason for o in files if isinstance(o, BrokenDocument)}


class TestFolders:
    def test_ids_start_with_the_folder_given(self, tmp_path: Path) -> None:
        write(tmp_path / "docs/a.md")
        write(tmp_path / "docs/sub/b.txt")
        assert ids(corpus(tmp_path / "docs")) == ["docs/a.md", "docs/sub/b.txt"]
        assert ids(corpus(tmp_path / "docs/sub/b.txt")) == ["b.txt"]

    def test_a_relative_path_and_a_dot_are_the_same_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "docs/a.md")
        monkeypatch.chdir(tmp_path / "docs")
        assert ids(corpus(Path(), Path("../docs"), Path("./"))) == ["docs/a.md"]

    def test_decomposed_file_names_give_composed_ids_that_can_be_read(self, tmp_path: Path) -> None:
        write(tmp_path / "docs" / unicodedata.normalize("NFD", "환불 정책.md"), "본문")
        (document,) = found(corpus(tmp_path / "docs"))
        assert document.document_id == "docs/환불 정책.md"
        assert document.parse().title == "환불 정책"

    def test_hidden_and_generated_folders_are_passed_over(self, tmp_path: Path) -> None:
        for name in [".git/a.md", ".venv/b.md", "node_modules/c.md", "__pycache__/d.md", ".e.md"]:
            write(tmp_path / name)
        write(tmp_path / "f.md")
        assert ids(corpus(tmp_path)) == [f"{tmp_path.name}/f.md"]

    def test_unknown_types_are_counted_not_failed(self, tmp_path: Path) -> None:
        for name in ["a.md", "b.png", "c.PNG", "Makefile"]:
            write(tmp_path / name)
        files = corpus(tmp_path)
        assert ids(files) == [f"{tmp_path.name}/a.md"]
        (note,) = files.notes()
        assert "type is not read: .png (2), no suffix (1)" in note

    def test_an_unknown_type_given_by_name_fails_with_the_known_ones(self, tmp_path: Path) -> None:
        (document,) = found(corpus(write(tmp_path / "b.png")))
        with pytest.raises(UnreadableDocument, match=r"known: \.md"):
            document.parse()

    def test_an_empty_folder_is_noted(self, tmp_path: Path) -> None:
        files = corpus(tmp_path)
        assert ids(files) == []
        assert files.notes() == [f"no documents in {tmp_path}; what came from there before is kept"]

    def test_a_path_that_does_not_exist_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="does not exist"):
            corpus(tmp_path / "nowhere")

    def test_a_loop_of_links_ends(self, tmp_path: Path) -> None:
        write(tmp_path / "docs/a.md")
        (tmp_path / "docs/again").symlink_to(tmp_path / "docs")
        (tmp_path / "docs/up").symlink_to(tmp_path)
        assert ids(corpus(tmp_path / "docs")) == ["docs/a.md"]

    def test_a_linked_folder_is_read(self, tmp_path: Path) -> None:
        write(tmp_path / "elsewhere/a.md")
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs/linked").symlink_to(tmp_path / "elsewhere")
        assert ids(corpus(tmp_path / "docs")) == ["docs/linked/a.md"]

    def test_what_cannot_be_opened_is_named_and_the_rest_goes_on(self, tmp_path: Path) -> None:
        (tmp_path / "dangling.md").symlink_to(tmp_path / "gone.md")
        os.mkfifo(tmp_path / "pipe.md")
        write(tmp_path / "big.md", "x" * 2_000_000)
        write(tmp_path / "fine.md")
        files = corpus(tmp_path, max_bytes=1_000_000)
        assert {key.rpartition("/")[2]: why for key, why in broken(files).items()} == {
            "big.md": "is 2.0 MB; at most 1 MB are read",
            "dangling.md": "can't be opened (No such file or directory)",
            "pipe.md": "is not a regular file",
        }
        assert [document.document_id for document in found(files)] == [f"{tmp_path.name}/fine.md"]

    @pytest.mark.skipif(sys.platform == "darwin", reason="macOS allows no such names")
    def test_a_name_that_is_not_utf_8_is_named_as_well_as_can_be(self, tmp_path: Path) -> None:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.md")).write_text("x")
        assert broken(corpus(tmp_path)) == {
            f"{tmp_path.name}/?.md": "its name is not UTF-8; rename it"
        }

    def test_the_digest_follows_the_bytes_and_the_address(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.md", "one")

        def digest(base_url: str | None = None) -> str:
            (document,) = found(corpus(path, base_url=base_url))
            return document.digest

        before = digest()
        assert digest() == before
        assert digest("https://example.com") != before
        write(path, "two")
        assert digest() != before

    def test_an_address_is_the_path_inside_the_folder_quoted(self, tmp_path: Path) -> None:
        write(tmp_path / "site/도움말/a b.md")
        (document,) = found(corpus(tmp_path / "site", base_url="https://example.com/docs/"))
        assert document.parse().url == (
            "https://example.com/docs/%EB%8F%84%EC%9B%80%EB%A7%90/a%20b.md"
        )

    def test_the_count_is_of_what_will_be_offered(self, tmp_path: Path) -> None:
        write(tmp_path / "a.md")
        write(tmp_path / "b.png")
        write(tmp_path / "set/corpus.jsonl", '{"_id": "1", "text": "x"}\n' * 3)
        assert corpus(tmp_path).count() == 4

    def test_covers_what_lies_below_unless_it_could_not_be_read(self, tmp_path: Path) -> None:
        write(tmp_path / "docs/a.md")
        (tmp_path / "docs/bad.md").symlink_to(tmp_path / "gone.md")
        (tmp_path / "empty").mkdir()
        files = corpus(tmp_path / "docs", tmp_path / "empty")
        list(files)
        assert files.covers(str(tmp_path / "docs/a.md"))
        assert files.covers(str(tmp_path / "docs/deleted.md"))
        assert not files.covers(str(tmp_path / "docs/bad.md"))
        assert not files.covers(str(tmp_path / "docs2/a.md"))
        assert not files.covers(str(tmp_path / "empty/a.md"))


class TestBeir:
    def beir(self, folder: Path, *records: object) -> Path:
        lines = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
        write(folder / "corpus.jsonl", "\n".join(lines) + "\n")
        write(folder / "queries.jsonl", "{}")
        return folder

    @pytest.mark.parametrize("key", ["_id", "id"])
    def test_documents_keep_their_own_ids(self, tmp_path: Path, key: str) -> None:
        folder = self.beir(tmp_path / "set", {key: "문서-1", "title": " 제목 ", "text": "본문"})
        for path in (folder, folder / "corpus.jsonl"):
            (document,) = found(corpus(path))
            parsed = document.parse()
            assert parsed.document_id == "문서-1"
            assert parsed.title == "제목"
            assert [section.text for section in parsed.sections] == ["본문"]

    def test_text_is_composed_and_otherwise_left_as_it_is(self, tmp_path: Path) -> None:
        text = "  Two  spaces\u200b and " + unicodedata.normalize("NFD", "한글") + "\x00 "
        folder = self.beir(tmp_path / "set", {"_id": "1", "text": text})
        (section,) = found(corpus(folder))[0].parse().sections
        assert section.text == "  Two  spaces\u200b and 한글  "

    def test_half_a_surrogate_pair_is_replaced(self, tmp_path: Path) -> None:
        folder = self.beir(tmp_path / "set", r'{"_id": "1", "text": "a\ud800b"}')
        (section,) = found(corpus(folder))[0].parse().sections
        assert section.text == "a\ufffdb"

    def test_metadata_a_filter_can_test_is_kept(self, tmp_path: Path) -> None:
        own = {"year": 2026, "tags": ["a"], "ok": True, "x": None, "deep": {"a": 1}, "l": "ko"}
        folder = self.beir(tmp_path / "set", {"_id": "1", "text": "t", "metadata": own})
        assert found(corpus(folder))[0].parse().metadata == {
            "source": "set/corpus.jsonl",
            "format": "beir",
            "year": 2026,
            "tags": ["a"],
            "ok": True,
            "l": "ko",
        }

    def test_broken_lines_are_named_by_number_and_the_rest_goes_on(self, tmp_path: Path) -> None:
        folder = self.beir(
            tmp_path / "set", "{oops", "", "[1]", {"text": "no id"}, {"_id": 7, "text": "fine"}
        )
        files = corpus(folder)
        assert list(broken(files)) == [f"set/corpus.jsonl line {n}" for n in (1, 3, 4)]
        assert [document.document_id for document in found(files)] == ["7"]

    def test_a_document_without_text_is_unreadable(self, tmp_path: Path) -> None:
        folder = self.beir(tmp_path / "set", {"_id": "1", "title": "t"})
        with pytest.raises(UnreadableDocument, match="`text`"):
            found(corpus(folder))[0].parse()

    def test_an_own_address_wins_over_the_base(self, tmp_path: Path) -> None:
        folder = self.beir(
            tmp_path / "set",
            {"_id": "1", "text": "t", "url": "https://own.example/1"},
            {"_id": "2", "text": "t"},
        )
        urls = [d.parse().url for d in found(corpus(folder, base_url="https://b.example"))]
        assert urls == ["https://own.example/1", "https://b.example/2"]
