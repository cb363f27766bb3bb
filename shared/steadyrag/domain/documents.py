"""Documents on their way in: what a corpus offers, what a parser makes of it."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from steadyrag.domain.errors import SteadyragError
from steadyrag.domain.models import Metadata

LONGEST_TITLE = 300
"""Characters of a title or heading that are kept."""


class UnreadableDocument(SteadyragError):
    """A document that can't be taken in. The message is the reason, for a person to read."""


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of text under one heading. `headings` is the path to it below the title."""

    headings: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document as plain text in reading order. Paragraphs, list items, table rows and code
    are lines of a section's text."""

    document_id: str
    title: str
    sections: Sequence[Section]
    url: str | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A document that a corpus offers, not parsed yet.

    `origin` is the path or URI it came from. `digest` covers its bytes and everything else
    that shapes what `parse` returns. `parse` blocks, and raises `UnreadableDocument`.
    """

    document_id: str
    origin: str
    digest: str
    parse: Callable[[], ParsedDocument]


@dataclass(frozen=True, slots=True)
class BrokenDocument:
    """A document that a corpus found but can't offer, and why."""

    document_id: str
    reason: str


class Corpus(Protocol):
    """Where documents come from. Iterating blocks; it reads one document at a time."""

    def __iter__(self) -> Iterator[FoundDocument | BrokenDocument]: ...

    def count(self) -> int:
        """About how many documents there are, for a progress bar."""

    def covers(self, origin: str) -> bool:
        """Whether the last iteration would have come across this origin if it were still
        there. Not so for what lies in a folder or a file that could not be read."""

    def notes(self) -> list[str]:
        """What a person should know of the last iteration: files passed over, empty folders."""

    def holds(self, origin: str) -> bool:
        """Whether something is still to be found there, in this corpus or outside it."""


_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_LINE_BREAK = re.compile(r"\r\n?|[\u0085\u2028\u2029]")
_INVISIBLE = re.compile(r"[\x80-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u2060\ufeff]")
_ODD_SPACE = re.compile(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_TRAILING = re.compile(r"(?<![ \t])[ \t]+(?=\n|$)")
"""Looked for once in a run of spaces: from each of them it would take quadratic time."""
_BLANK_LINES = re.compile(r"\n{3,}")


def sound(text: str) -> str:
    """`text` in NFC, without NUL and other control characters; half a surrogate pair
    becomes U+FFFD. White space stays as it is."""
    text = _NOT_TEXT.sub(" ", text)
    return unicodedata.normalize("NFC", _SURROGATE.sub("\ufffd", text))


def tidy(text: str) -> str:
    """`sound`, and white space in the usual characters: lines end in a line feed, spaces are
    spaces, no more than one blank line in a row, nothing invisible."""
    text = _LINE_BREAK.sub("\n", text)
    text = _INVISIBLE.sub("", _ODD_SPACE.sub(" ", sound(text)))
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("", text)).strip("\n")


def one_line(text: str) -> str:
    """A title or heading: tidy, on one line, and not longer than one."""
    line = " ".join(tidy(text).split())
    return line if len(line) <= LONGEST_TITLE else line[: LONGEST_TITLE - 1].rstrip() + "…"
