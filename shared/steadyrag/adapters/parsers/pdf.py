"""PDF: the text of each page under its page number."""

import logging
import re
from collections import Counter
from io import BytesIO

from pypdf import PasswordType, PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError

from steadyrag.adapters.parsers.content import Content, Outline
from steadyrag.adapters.parsers.text import unwrapped
from steadyrag.domain.documents import UnreadableDocument, tidy

MAX_PAGES = 5_000

_NO_TITLE = re.compile(r"untitled|제목\s*없음|microsoft (word|powerpoint) - .*|.*\.\w{2,4}", re.I)
_NUMBER = re.compile(r"\d+")
_ENCRYPTED = "is protected by a password; save a copy without one"


def parse_pdf(data: bytes, *, max_pages: int = MAX_PAGES) -> Content:
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it warns of every odd byte
    reader = PdfReader(BytesIO(data))
    try:
        # A document that only restricts printing opens with the empty password.
        if reader.is_encrypted and reader.decrypt("") is PasswordType.NOT_DECRYPTED:
            raise UnreadableDocument(_ENCRYPTED)
        return _read(reader, max_pages)
    except (DependencyError, FileNotDecryptedError) as error:
        raise UnreadableDocument(_ENCRYPTED) from error


def _read(reader: PdfReader, max_pages: int) -> Content:
    if len(reader.pages) > max_pages:
        raise UnreadableDocument(f"has {len(reader.pages):,} pages; at most {max_pages:,} are read")
    pages = [tidy(page.extract_text()).split("\n") for page in reader.pages]
    if not any(line.strip() for page in pages for line in page):
        raise UnreadableDocument(
            "holds no text, as scanned pages do; run text recognition (OCR) on it first"
        )
    outline = Outline()
    for number, lines in enumerate(_without_running_lines(pages), start=1):
        outline.heading(2, f"p. {number}")
        for paragraph in "\n".join(lines).split("\n\n"):
            outline.block(unwrapped(paragraph))
    title = (reader.metadata and reader.metadata.title) or ""
    return outline.content("" if _NO_TITLE.fullmatch(title.strip()) else title)


def _without_running_lines(pages: list[list[str]]) -> list[list[str]]:
    """Pages without the header and footer that most of them share, numbers apart."""
    if len(pages) < 4:
        return pages
    edges = Counter(edge for lines in pages for edge in {_edge(lines, 0), _edge(lines, -1)} if edge)
    running = {edge for edge, times in edges.items() if times > len(pages) * 0.6}
    return [
        lines[_edge(lines, 0) in running : len(lines) - (_edge(lines, -1) in running)]
        for lines in pages
    ]


def _edge(lines: list[str], at: int) -> str:
    return _NUMBER.sub("#", lines[at].strip()) if lines else ""
