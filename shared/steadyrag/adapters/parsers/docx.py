"""Word documents (.docx): headings, paragraphs, lists and tables in reading order."""

import zipfile
from io import BytesIO

import docx
from docx.table import Table
from docx.text.paragraph import Paragraph

from steadyrag.adapters.parsers.content import Content, Outline
from steadyrag.domain.documents import UnreadableDocument

MAX_UNPACKED_BYTES = 500_000_000

_OLE = b"\xd0\xcf\x11\xe0"


def parse_docx(data: bytes, *, max_unpacked_bytes: int = MAX_UNPACKED_BYTES) -> Content:
    _check_package(data, max_unpacked_bytes)
    document = docx.Document(BytesIO(data))
    outline = Outline()
    title = ""
    rows: list[str] = []

    def close_list() -> None:
        outline.block("\n".join(rows))
        rows.clear()

    for item in document.iter_inner_content():
        if isinstance(item, Table):
            close_list()
            outline.block("\n".join(_rows(item)))
            continue
        text = item.text.strip()
        style = (item.style.name if item.style is not None else "") or ""
        level = _level(style)
        if level == 0 and not title:
            close_list()
            title = text
        elif level is not None:
            close_list()
            outline.heading(max(level, 1), text)
        elif text and _is_item(item, style):
            rows.append(f"- {text}")
        else:
            close_list()
            outline.block(text)
    close_list()
    return outline.content(title or document.core_properties.title or "")


def _check_package(data: bytes, max_unpacked_bytes: int) -> None:
    if data.startswith(_OLE):
        raise UnreadableDocument(
            "is protected by a password or in the old .doc format; save it as .docx without one"
        )
    try:
        with zipfile.ZipFile(BytesIO(data)) as package:
            unpacked = sum(entry.file_size for entry in package.infolist())
    except zipfile.BadZipFile as error:
        raise UnreadableDocument("is not a Word document, or is damaged") from error
    if unpacked > max_unpacked_bytes:
        raise UnreadableDocument(
            f"unpacks to {unpacked / 1e6:,.0f} MB; at most {max_unpacked_bytes / 1e6:,.0f} MB "
            "are taken"
        )


def _level(style: str) -> int | None:
    if style == "Title":
        return 0
    kind, _, number = style.partition(" ")
    return int(number) if kind.casefold() == "heading" and number.isdecimal() else None


def _is_item(paragraph: Paragraph, style: str) -> bool:
    properties = paragraph._p.pPr
    return style.startswith("List") or (properties is not None and properties.numPr is not None)


def _rows(table: Table) -> list[str]:
    rows: list[str] = []
    for row in table.rows:
        cells: list[str] = []
        previous = None
        for cell in row.cells:
            if cell._tc is not previous:  # a merged cell is listed once per column it spans
                cells.append(" ".join(cell.text.split()))
            previous = cell._tc
        if any(cells):
            rows.append(" | ".join(cells))
    return rows
