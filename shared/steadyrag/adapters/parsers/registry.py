"""Which parser reads which file, and the limits that hold for all."""

from collections.abc import Callable, Mapping
from pathlib import PurePath

from steadyrag.adapters.parsers.content import Content
from steadyrag.domain.documents import ParsedDocument, UnreadableDocument, one_line

PARSERS = "1"
"""Raised whenever the same file would give another text than before."""

type Parse = Callable[[bytes], Content]

_FORMATS: Mapping[str, str] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".text": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
}


def _parser(format_name: str) -> Parse:
    """Loads what the format needs, and only that."""
    match format_name:
        case "markdown":
            from steadyrag.adapters.parsers.markdown import parse_markdown

            return parse_markdown
        case "html":
            from steadyrag.adapters.parsers.html import parse_html

            return parse_html
        case "pdf":
            from steadyrag.adapters.parsers.pdf import parse_pdf

            return parse_pdf
        case "docx":
            from steadyrag.adapters.parsers.docx import parse_docx

            return parse_docx
        case _:
            from steadyrag.adapters.parsers.text import parse_text

            return parse_text


class Parsers:
    """Reads a document of any known format.

    max_bytes: size of a file beyond which it is refused unread.
    max_characters: length of the text it may turn out to hold.
    max_sections: stretches of text under a heading of their own.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 100_000_000,
        max_characters: int = 20_000_000,
        max_sections: int = 100_000,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_characters = max_characters
        self.max_sections = max_sections

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

    def check_type(self, name: str) -> None:
        """Raises `UnreadableDocument` for a file whose suffix is of no known format."""
        if not self.knows(name):
            known = ", ".join(_FORMATS)
            raise UnreadableDocument(
                f"is of a type that is not read ({PurePath(name).suffix}); known: {known}"
            )

    def preload(self) -> None:
        """Loads the parsers of all formats, which else come with a format's first file."""
        for format_name in _FORMATS.values():
            _parser(format_name)

    def parse(
        self, data: bytes, *, document_id: str, name: str, url: str | None = None
    ) -> ParsedDocument:
        """The document in the file `name`, whose suffix says its format.

        Raises `UnreadableDocument` and nothing else, whatever the bytes are.
        """
        self.check_size(len(data))
        self.check_type(name)
        format_name = _FORMATS[PurePath(name).suffix.lower()]
        try:
            content = _parser(format_name)(data)
        except UnreadableDocument:
            raise
        except MemoryError as error:
            raise UnreadableDocument("needs more memory to be read than there is") from error
        except RecursionError as error:
            raise UnreadableDocument("is nested too deeply to be read") from error
        except Exception as error:  # whatever a parser makes of a hostile or damaged file
            raise UnreadableDocument(
                f"is damaged, or is no {format_name} ({type(error).__name__}: {error})"[:300]
            ) from error
        length = sum(len(section.text) for section in content.sections)
        if length > self.max_characters:
            raise UnreadableDocument(
                f"holds {length:,} characters; at most {self.max_characters:,} are read"
            )
        if len(content.sections) > self.max_sections:
            raise UnreadableDocument(
                f"holds {len(content.sections):,} sections; at most {self.max_sections:,} are read"
            )
        return ParsedDocument(
            document_id=document_id,
            title=content.title or (one_line(PurePath(name).stem) if length else ""),
            sections=content.sections,
            url=url,
            metadata={"source": document_id, "format": format_name, **content.metadata},
        )
