"""Sentence boundaries as character spans, for Korean and English.

`sentencex` finds the boundaries; what is added here is what retrieval needs of
them: no crumbs ("Methods.", a stray quote) that would match everything, and no
page-long "sentence" where a quotation swallowed its full stops.
"""

import re
from collections.abc import Iterator

from sentencex import segment

from steadyrag.domain.models import Language

Span = tuple[int, int]

SHORTEST = 24
"""Characters below which a piece joins its neighbour."""
LONGEST = 320
"""Characters above which a piece is split at any full stop inside it."""

_HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_LINE = re.compile(r"[^\n]+")
_STOP = re.compile(r"[.!?。！？…][\"'”’»)\]]*\s+")


def language_of(text: str) -> Language:
    """`"ko"` when the text holds Hangul in a share that matters, else `"en"`."""
    hangul = len(_HANGUL.findall(text))
    if not hangul:
        return "en"
    letters = sum(map(str.isalpha, text))
    return "ko" if hangul * 5 >= letters else "en"


def sentence_spans(text: str) -> list[Span]:
    """Spans of the sentences of `text`, in order, without surrounding white space.

    A line break always ends a sentence. Every character that is not white space
    is in exactly one span.
    """
    language = language_of(text)
    spans: list[Span] = []
    for line in _LINE.finditer(text):
        pieces = list(_pieces(line.group(), language))
        spans.extend(_trimmed(text, line.start() + a, line.start() + b) for a, b in _merged(pieces))
    return [span for span in spans if span[0] < span[1]]


def _pieces(line: str, language: str) -> Iterator[Span]:
    at = 0
    for piece in segment(language, line):
        start = line.find(piece, at)
        if start < 0:  # the splitter altered the text: what is left stays whole
            break
        end = start + len(piece)
        yield from _split_long(line, at, end)
        at = end
    if at < len(line):
        yield at, len(line)


def _split_long(line: str, start: int, end: int) -> Iterator[Span]:
    if end - start > LONGEST:
        for stop in _STOP.finditer(line, start, end):
            yield start, stop.end()
            start = stop.end()
    if start < end:
        yield start, end


def _merged(pieces: list[Span]) -> list[Span]:
    """Joins each short piece to the one after it, the last one to the one before."""
    merged: list[Span] = []
    begin: int | None = None
    for start, end in pieces:
        begin = start if begin is None else begin
        if end - begin >= SHORTEST:
            merged.append((begin, end))
            begin = None
    if begin is not None:
        end = pieces[-1][1]
        if merged:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((begin, end))
    return merged


def _trimmed(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
