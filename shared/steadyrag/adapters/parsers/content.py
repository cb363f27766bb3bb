"""What a format's parser returns, and the builder that all of them fill."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from steadyrag.domain.documents import Section, one_line, tidy
from steadyrag.domain.models import Metadata


@dataclass(frozen=True, slots=True)
class Content:
    """A file's content. `title` is empty where the file does not name one."""

    title: str
    sections: Sequence[Section]
    metadata: Metadata = field(default_factory=dict)


class Outline:
    """Collects headings and blocks of text in reading order."""

    def __init__(self) -> None:
        self._stack: list[tuple[int, str]] = []
        self._sections: list[tuple[tuple[tuple[int, str], ...], list[str]]] = [((), [])]
        self._first: tuple[int, str] | None = None

    def heading(self, level: int, text: str) -> None:
        """Opens a section; one without words is ignored."""
        text = one_line(text)
        if not text:
            return
        self._first = self._first or (level, text)
        while self._stack and self._stack[-1][0] >= level:
            self._stack.pop()
        self._stack.append((level, text))
        self._sections.append((tuple(self._stack), []))

    def block(self, text: str) -> None:
        """Adds a paragraph, a list, a table or a piece of code to the open section."""
        text = tidy(text)
        if text.strip():
            self._sections[-1][1].append(text)

    def content(self, title: str = "", metadata: Metadata | None = None) -> Content:
        """All that was collected. Without a `title`, a first heading of level 1 is it. The
        heading that is the title does not appear in the paths again."""
        title = one_line(title)
        if not title and self._first and self._first[0] == 1:
            title = self._first[1]
        told = self._first if self._first and _says(title, self._first[1]) else None
        sections = [
            Section(tuple(entry[1] for entry in path if entry != told), body)
            for path, blocks in self._sections
            if (body := "\n\n".join(blocks))
        ]
        return Content(title, sections, metadata or {})


def _says(title: str, heading: str) -> bool:
    return bool(title) and title.casefold().startswith(heading.casefold())
