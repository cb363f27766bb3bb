"""Which parser reads which file, and the limits that hold for all."""

from collections.abc import Callable, Mapping
from pathlib import PurePath

from steadyrag.adapters.parsers.content import Content
from steadyrag.adapters.parsers.docx import parse_docx
from steadyrag.adapters.parsers.html import parse_html
from steadyrag.adapters.parsers.markdown import parse_markdown
from steadyrag.adapters.parsers.pdf import parse_pdf
from steadyrag.adapters.parsers.text import parse_text
from steadyrag.domain.documents import ParsedDocument, UnreadableDocument, one_line

PARSERS = "1"
"""Raised whenever the same file would give another text than before."""

type Parse = Callable[[bytes], Content]

_FORMATS: Mapping[str, tuple[str, Parse]] = {
    ".md": ("markdown", parse_markdown),
    ".markdown": ("markdown", parse_markdown),
    ".txt": ("text", parse_text),
    ".text": ("text", parse_text),
    ".html": ("html", parse_html),
    ".htm": ("html", parse_html),
    ".xhtml": ("html", parse_html),
    ".pdf": ("pdf", parse_pdf),
    ".docx": ("docx", parse_docx),
}


class Parsers:
    """Reads a document of any known format.

    max_bytes: size of a file beyond which it is refused unread.
    max_characters: length of the text it may turn out to hold.
    """

    def __init__(self, *, max_bytes: int = 100_000_000, max_characters: int = 20_000_000) -> None:
        self.max_bytes = max_bytes
        self.max_characters = max_characters

    @property
    def suffixes(self) -> tuple[str, ...]:
        return tuple(_FORMATS)

    def knows(self, name: str) -> bool:
        return PurePath(name).suffix.lower() in _FORMATS

    def check_size(self, size_bytes: int) -> None:
        """Raises `UnreadableDocument` for what is too big to be read."""
        if size_bytes > self.max_bytes:
            raise UnreadableDocument(
                f"is {size_bytes / 1e6:,.1f} MB; at most {self.max_bytes / 1e6:,.0f} MB are read"
            )

    def parse(
        self, data: bytes, *, document_id: str, name: str, url: str | None = None
    ) -> ParsedDocument:
        """The document in the file `name`, whose suffix says its format.

        Raises `UnreadableDocument` and nothing else, whatever the bytes are.
        """
        self.check_size(len(data))
        suffix = PurePath(name).suffix
        if suffix.lower() not in _FORMATS:
            known = ", ".join(_FORMATS)
            raise UnreadableDocument(f"is of a type that is not read ({suffix}); known: {known}")
        format_name, parse = _FORMATS[suffix.lower()]
        try:
            content = parse(data)
        except UnreadableDocument:
            raise
        except Exception as error:  # whatever a parser makes of a hostile or damaged file
            raise UnreadableDocument(
                f"is damaged, or is no {format_name} ({type(error).__name__}: {error})"[:300]
            ) from error
        length = sum(len(section.text) for section in content.sections)
        if length > self.max_characters:
            raise UnreadableDocument(
                f"holds {length:,} characters; at most {self.max_characters:,} are read"
            )
        return ParsedDocument(
            document_id=document_id,
            title=content.title or (one_line(PurePath(name).stem) if length else ""),
            sections=content.sections,
            url=url,
            metadata={"source": document_id, "format": format_name, **content.metadata},
        )
