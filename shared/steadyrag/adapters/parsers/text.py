"""Plain text: paragraphs, with lines that were wrapped for the eye joined again."""

import re

from steadyrag.adapters.parsers.content import Content, Outline
from steadyrag.adapters.parsers.decoding import decode
from steadyrag.domain.documents import tidy

_WRAPPED_FROM = 45
"""Lines at least this long, but for the last, look like one paragraph that was wrapped."""

_PARAGRAPH_BREAK = re.compile(r"\n[ \t]*\n")
_ITEM = re.compile(r"\s*([-*•·▪‣]|\(?[0-9]{1,3}[.)]|[가-하][.)])\s")
_SOFT_HYPHEN = re.compile(r"(?<=[a-z])-\n(?=[a-z])")


def parse_text(data: bytes) -> Content:
    outline = Outline()
    for paragraph in _PARAGRAPH_BREAK.split(tidy(decode(data))):
        outline.block(unwrapped(paragraph))
    return outline.content()


def unwrapped(paragraph: str) -> str:
    """`paragraph` on one line if it looks wrapped; lists, tables and verse keep their lines."""
    lines = paragraph.split("\n")
    wrapped = len(lines) > 1 and all(
        len(line) >= _WRAPPED_FROM and not line.startswith(("\t", "    ")) for line in lines[:-1]
    )
    if not wrapped or any(_ITEM.match(line) or " | " in line for line in lines):
        return paragraph
    return " ".join(_SOFT_HYPHEN.sub("", paragraph).split())
