"""Markdown (CommonMark and tables), with front matter."""

from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from steadyrag.adapters.parsers.content import Content, Outline
from steadyrag.adapters.parsers.decoding import decode
from steadyrag.adapters.parsers.frontmatter import split_front_matter
from steadyrag.adapters.parsers.html import read_html


def parse_markdown(data: bytes) -> Content:
    front, body = split_front_matter(decode(data).replace("\r\n", "\n"))
    outline = Outline()
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(body)
    _read(tokens, outline)
    title = front.pop("title", "")
    return outline.content(title if isinstance(title, str) else "", front)


def _read(tokens: Sequence[Token], outline: Outline) -> None:
    block = _Block()
    for token in tokens:
        match token.type:
            case "heading_close":
                outline.heading(int(token.tag[1]), block.taken())
            case "html_block":
                read_html(token.content, outline)
            case _:
                block.read(token)
        if token.level == 0 and token.nesting <= 0:
            outline.block(block.taken())


class _Block:
    """The lines of a top-level block: a paragraph, a whole list, a table, a piece of code."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._next_number: list[int | None] = []
        self._mark = ""
        self._cells: list[str] | None = None

    def taken(self) -> str:
        text = "\n".join(self._lines)
        self._lines.clear()
        return text

    def read(self, token: Token) -> None:
        match token.type:
            case "bullet_list_open":
                self._next_number.append(None)
            case "ordered_list_open":
                self._next_number.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                self._next_number.pop()
            case "list_item_open":
                self._open_item()
            case "tr_open":
                self._cells = []
            case "tr_close":
                self._lines.append(" | ".join(self._cells or ()))
                self._cells = None
            case "inline" if self._cells is not None:
                self._cells.append(_inline(token).replace("\n", " "))
            case "inline":
                self._lines.append(self._mark + _inline(token))
                self._mark = ""
            case "fence" | "code_block":
                self._lines.append(token.content.rstrip("\n"))

    def _open_item(self) -> None:
        number = self._next_number[-1]
        self._mark = "  " * (len(self._next_number) - 1)
        if number is None:
            self._mark += "- "
        else:
            self._mark += f"{number}. "
            self._next_number[-1] = number + 1


def _inline(token: Token) -> str:
    parts: list[str] = []
    for child in token.children or ():
        match child.type:
            case "text" | "code_inline":
                parts.append(child.content)
            case "softbreak":
                parts.append(" ")
            case "hardbreak":
                parts.append("\n")
            case "image":
                parts.append(_inline(child))
    return "".join(parts)
