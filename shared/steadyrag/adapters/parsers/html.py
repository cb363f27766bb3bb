"""HTML: the main text with its headings, without navigation, scripts and other furniture."""

import re

from lxml import etree
from lxml import html as lxml_html

from steadyrag.adapters.parsers.content import Content, Outline
from steadyrag.adapters.parsers.decoding import decode
from steadyrag.domain.documents import UnreadableDocument

_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?([\w.:-]+)""", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_FURNITURE = frozenset(
    {"script", "style", "noscript", "template", "nav", "aside", "form", "button", "select"}
    | {"iframe", "object", "svg", "canvas", "audio", "video", "head", "dialog"}
)
_BLOCKS = frozenset(
    {"address", "article", "blockquote", "body", "caption", "center", "dd", "details", "div"}
    | {"dl", "dt", "fieldset", "figcaption", "figure", "footer", "header", "hr", "html", "legend"}
    | {"li", "main", "ol", "p", "section", "summary", "ul", "table", "thead", "tbody", "tfoot"}
    | {"tr", "td", "th"}
)
_SPACE = re.compile(r"\s+")
_LEVELS = {f"h{n}": n for n in range(1, 7)}


def parse_html(data: bytes) -> Content:
    declared = _CHARSET.search(data[:4096])
    root = _root(decode(data, declared.group(1).decode() if declared else None))
    if root is None:
        raise UnreadableDocument("holds no text")
    title = root.findtext(".//head/title") or ""
    outline = Outline()
    _Reader(outline).read(_main(root))
    return outline.content(title)


def read_html(fragment: str, outline: Outline) -> None:
    """Adds a piece of HTML, as it stands between other text, to `outline`."""
    root = _root(fragment)
    if root is not None:
        _Reader(outline).read(root)


def _root(text: str) -> etree._Element | None:
    parser = lxml_html.HTMLParser(remove_comments=True, remove_pis=True, huge_tree=False)
    try:
        return lxml_html.document_fromstring(
            _XML_DECLARATION.sub("", text).replace("\0", ""), parser=parser
        )
    except etree.ParserError:
        return None


def _main(root: etree._Element) -> etree._Element:
    for path in (".//main", ".//*[@role='main']", ".//article"):
        found = root.findall(path)
        if len(found) == 1 and len("".join(found[0].itertext()).strip()) > 200:
            return found[0]
    body = root.find(".//body")
    return root if body is None else body


class _Reader:
    """Walks elements in order; text between two blocks is a paragraph."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._inline: list[str] = []

    def read(self, element: etree._Element) -> None:
        tag = element.tag
        if tag in _FURNITURE or _hidden(element):
            return
        if tag == "br":
            self._inline.append("\n")
        elif tag in _LEVELS:
            self._close()
            self._outline.heading(_LEVELS[tag], _flat(element))
        elif tag == "pre":
            self._close()
            self._outline.block("".join(element.itertext()))
        elif tag in ("ul", "ol") and not _structured(element):
            self._close()
            self._outline.block("\n".join(_items(element, 0)))
        elif tag == "table" and not _structured(element):
            self._close()
            self._outline.block("\n".join(_rows(element)))
        elif tag in _BLOCKS:
            self._close()
            self._children(element)
            self._close()
        else:
            self._children(element)

    def _children(self, element: etree._Element) -> None:
        self._text(element.text)
        for child in element:
            self.read(child)
            self._text(child.tail)

    def _text(self, text: str | None) -> None:
        if text:
            self._inline.append(_SPACE.sub(" ", text))

    def _close(self) -> None:
        lines = "".join(self._inline).split("\n")
        self._inline.clear()
        self._outline.block("\n".join(" ".join(line.split()) for line in lines))


def _hidden(element: etree._Element) -> bool:
    return (
        element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or element.get("role") == "navigation"
    )


def _structured(element: etree._Element) -> bool:
    """Whether a list or table is used for layout: it holds headings, tables or code."""
    return any(
        part.tag in _LEVELS or part.tag in ("table", "pre") for part in element.iterdescendants()
    )


def _flat(element: etree._Element) -> str:
    """Its text on one line, without furniture and, in a list item, without inner lists."""
    parts = [element.text or ""]
    for child in element:
        if child.tag not in _FURNITURE and child.tag not in ("ul", "ol"):
            glue = " " if child.tag in _BLOCKS or child.tag == "br" else ""
            parts.append(f"{glue}{_flat(child)}{glue}")
        parts.append(child.tail or "")
    return " ".join("".join(parts).split())


def _items(element: etree._Element, depth: int) -> list[str]:
    lines: list[str] = []
    for number, item in enumerate(element.iterchildren("li"), start=1):
        mark = f"{number}." if element.tag == "ol" else "-"
        if text := _flat(item):
            lines.append(f"{'  ' * depth}{mark} {text}")
        for inner in item.iterchildren("ul", "ol"):
            lines.extend(_items(inner, depth + 1))
    return lines


def _rows(element: etree._Element) -> list[str]:
    rows: list[str] = []
    for row in element.iterdescendants("caption", "tr"):
        cells = [_flat(row)] if row.tag == "caption" else [_flat(cell) for cell in row]
        if any(cells):
            rows.append(" | ".join(cells))
    return rows
