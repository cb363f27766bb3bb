"""Documents become chunks along their structure, under a token limit."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyrag.domain.chunking import MAX_TOKENS, RESERVED, chunk_document
from steadyrag.domain.documents import ParsedDocument, Section
from steadyrag.domain.models import Chunk
from steadyrag.domain.packing import pack
from steadyrag.domain.sentences import sentence_spans
from steadyrag.domain.tokens import estimate_tokens


def words(text: str) -> int:
    return len(text.split())


def document(
    *sections: tuple[tuple[str, ...], str], title: str = "Manual", **rest
) -> ParsedDocument:
    return ParsedDocument(
        rest.pop("document_id", "docs/manual.md"), title, [Section(*s) for s in sections], **rest
    )


def prose(sentences: int, word: str = "word") -> str:
    return " ".join(f"Sentence {i} says {word} six times over." for i in range(sentences))


def outline(chunks: list[Chunk]) -> list[tuple[str, str]]:
    return [(chunk.context, chunk.text) for chunk in chunks]


def test_a_document_that_fits_is_one_chunk_with_its_headings_in_the_text() -> None:
    chunks = chunk_document(
        document(((), "Intro."), (("Setup",), "Do this."), (("Setup", "Linux"), "Or that.")), words
    )
    assert outline(chunks) == [("Manual", "Intro.\n\nSetup\nDo this.\n\nLinux\nOr that.")]


def test_a_lone_section_keeps_its_headings_as_context() -> None:
    chunks = chunk_document(document((("Setup", "Linux"), "Do this.")), words)
    assert outline(chunks) == [("Manual › Setup › Linux", "Do this.")]


def test_sections_that_do_not_fit_together_are_chunks_of_their_own() -> None:
    chunks = chunk_document(
        document((("One",), prose(40)), (("Two",), prose(40))), words, max_tokens=320
    )
    assert [chunk.context for chunk in chunks] == ["Manual › One", "Manual › Two"]


def test_small_neighbours_share_a_chunk_under_the_headings_they_have_in_common() -> None:
    chunks = chunk_document(
        document(
            (("Setup", "Linux"), "Use apt."),
            (("Setup", "Mac"), "Use brew."),
            (("Usage",), prose(40)),
        ),
        words,
        max_tokens=290,
    )
    assert outline(chunks)[0] == ("Manual › Setup", "Linux\nUse apt.\n\nMac\nUse brew.")
    assert chunks[1].context == "Manual › Usage"


def test_a_long_section_is_cut_between_sentences_into_even_chunks() -> None:
    chunks = chunk_document(document(((), prose(90))), words, max_tokens=300)
    assert len(chunks) == 3
    assert all(chunk.text.startswith("Sentence") and chunk.text.endswith(".") for chunk in chunks)
    sizes = [chunk.tokens for chunk in chunks]
    assert max(sizes) - min(sizes) <= 8


def test_a_sentence_longer_than_a_chunk_is_cut_between_words() -> None:
    text = " ".join(f"w{i}" for i in range(1000))
    chunks = chunk_document(document(((), text)), words, max_tokens=100)
    assert " ".join(chunk.text for chunk in chunks) == text
    assert all(chunk.tokens <= 100 for chunk in chunks)


def test_a_word_longer_than_a_chunk_is_cut_between_characters() -> None:
    text = "가" * 5000
    chunks = chunk_document(document(((), text)), estimate_tokens)
    assert "".join(chunk.text for chunk in chunks) == text
    assert all(chunk.tokens <= MAX_TOKENS for chunk in chunks)


def test_headings_too_long_for_context_lose_the_outermost_first() -> None:
    chunks = chunk_document(
        document(((" ".join(["chapter"] * 60), "Inner heading"), "Text."), title="T"),
        words,
        max_tokens=80,
    )
    assert outline(chunks) == [("Inner heading", "Text.")]


def test_a_title_without_text_is_findable() -> None:
    assert outline(chunk_document(document(title="Only a title"), words)) == [("", "Only a title")]


def test_a_document_without_anything_has_no_chunks() -> None:
    assert chunk_document(document(((), " \n"), title=""), words) == []


def test_code_and_lists_keep_their_lines() -> None:
    text = "Run:\n\nmake run\n  make test\n\n- one\n- two"
    assert chunk_document(document(((), text)), words)[0].text == text


def test_tokens_count_context_and_text_together() -> None:
    (chunk,) = chunk_document(document(((), "three more words")), words)
    assert chunk.tokens == 4


@pytest.mark.parametrize("title", ["", "A title of five words"])
def test_a_flat_document_is_packed_by_the_sizes_of_its_sentences_alone(title: str) -> None:
    """Vectors cached by content are found again only if these texts stay what they are."""
    text = unicodedata.normalize("NFC", prose(200) + " " + "한국어 문장도 있습니다. " * 40)
    spans = sentence_spans(text)
    room = MAX_TOKENS - RESERVED - (words(title) if title else 0)
    expected = [
        (title, text[spans[group.start][0] : spans[group.stop - 1][1]])
        for group in pack([words(text[a:b]) for a, b in spans], room)
    ]
    assert len(expected) > 2
    assert outline(chunk_document(document(((), text), title=title), words)) == expected


class TestIds:
    def test_are_ascii_whatever_the_document_is_called(self) -> None:
        (chunk,) = chunk_document(document(((), "글"), document_id="문서/가이드.md"), words)
        assert chunk.id.isascii()
        assert len(chunk.id) < 64

    def test_of_unchanged_sections_survive_an_insertion_before_them(self) -> None:
        one, two = (("One",), prose(40, "one")), (("Two",), prose(40, "two"))
        before = chunk_document(document(one, two), words, max_tokens=320)
        after = chunk_document(
            document((("Zero",), prose(40, "zero")), one, two), words, max_tokens=320
        )
        assert [c.id for c in after[1:]] == [c.id for c in before]

    def test_tell_repeated_passages_of_a_document_apart(self) -> None:
        same = (("Note",), prose(40))
        chunks = chunk_document(
            document(same, (("Other",), prose(40, "x")), same), words, max_tokens=320
        )
        assert len({chunk.id for chunk in chunks}) == len(chunks) == 3

    @pytest.mark.parametrize(
        "changed",
        [
            {"title": "Other"},
            {"url": "https://example.com/"},
            {"metadata": {"year": 2026}},
            {"document_id": "docs/other.md"},
        ],
    )
    def test_change_with_all_that_the_index_keeps(self, changed: dict) -> None:
        (before,) = chunk_document(document(((), "text")), words)
        (after,) = chunk_document(document(((), "text"), **changed), words)
        assert before.id != after.id


HEADINGS = st.lists(st.sampled_from(["A", "B", "긴 제목입니다", "C d e f g"]), max_size=3).map(
    tuple
)
TEXTS = st.text(alphabet="ab 가나.\n!?x", max_size=400)


@settings(max_examples=150, deadline=None)
@given(
    sections=st.lists(st.tuples(HEADINGS, TEXTS), max_size=6),
    count=st.sampled_from([words, len, estimate_tokens]),
    max_tokens=st.integers(40, 200),
)
def test_no_chunk_is_too_long_and_nothing_is_lost_or_moved(sections, count, max_tokens) -> None:
    chunks = chunk_document(document(*sections, title="T"), count, max_tokens=max_tokens)
    assert all(chunk.tokens <= max_tokens for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    body = re.sub(r"\s", "", "".join(text for _, text in sections))
    if not body:
        return
    position = 0
    found = re.sub(r"\s", "", "".join(chunk.text for chunk in chunks))
    for character in body:  # headings may stand between, but the order is kept
        position = found.index(character, position) + 1
