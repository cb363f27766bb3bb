"""A folder, an index and a catalogue to ingest between, real or in memory."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fakes import FakeEmbedder, InMemoryCatalogue, InMemoryIndex
from steadyrag.adapters.parsers.files import FileCorpus
from steadyrag.adapters.parsers.registry import Parsers
from steadyrag.domain.documents import (
    FoundDocument,
    ParsedDocument,
    Section,
    UnreadableDocument,
)
from steadyrag.indexing import IngestParts, IngestSummary
from steadyrag.ingest import ingest
from steadyrag.ingest_batches import Retry


@dataclass
class Rig:
    """`run` ingests `folder`. `pauses_s` is what retries would have waited."""

    folder: Path
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    index: Any = field(default_factory=InMemoryIndex)
    catalogue: Any = field(default_factory=InMemoryCatalogue)
    max_tokens: int = 60
    lock: Any = None
    pauses_s: list[float] = field(default_factory=list)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def parts(self) -> IngestParts:
        async def sleep(seconds: float) -> None:
            self.pauses_s.append(seconds)

        lock: dict[str, AbstractContextManager[None]] = {"lock": self.lock} if self.lock else {}
        return IngestParts(
            embedder=self.embedder,
            index=self.index,
            catalogue=self.catalogue,
            count_tokens=self.embedder.count_tokens,
            files=lambda paths, base_url: FileCorpus(paths, Parsers(), base_url=base_url),
            max_tokens=self.max_tokens,
            retry=Retry(sleep=sleep),
            **lock,
        )

    async def run(self, *paths: Path, corpus: Any = None, **options: Any) -> IngestSummary:
        corpus = corpus or FileCorpus(paths or [self.folder], Parsers())
        return await ingest(corpus, self.parts(), **options)

    def held(self, namespace: str = "default") -> dict[str, list[str]]:
        """What an in-memory index holds: texts by document id, sorted."""
        held: dict[str, list[str]] = {}
        for embedded in self.index.held(namespace).values():
            held.setdefault(embedded.chunk.document_id, []).append(embedded.chunk.text)
        return {document_id: sorted(texts) for document_id, texts in sorted(held.items())}


class ListedCorpus:
    """Documents from memory: (id, text). `taken` counts those that were read."""

    def __init__(self, documents: Iterable[tuple[str, str]], *, parsable: bool = True) -> None:
        self._documents = documents
        self._parsable = parsable
        self.taken = 0

    def __iter__(self) -> Any:
        for document_id, text in self._documents:
            self.taken += 1
            parsed = ParsedDocument(document_id, "", [Section((), text)])
            yield FoundDocument(
                document_id, f"list/{document_id}", text, partial(self._parse, parsed)
            )

    def _parse(self, parsed: ParsedDocument) -> ParsedDocument:
        if not self._parsable:
            raise UnreadableDocument("was parsed although it must not be")
        return parsed

    def count(self) -> int:
        return 0

    def covers(self, origin: str) -> bool:
        return origin.startswith("list/")

    def holds(self, origin: str) -> bool:
        return False

    def notes(self) -> list[str]:
        return []


def section(heading: str, sentences: int = 6) -> str:
    """A Markdown section of about 50 tokens."""
    body = " ".join(f"Line {n} of {heading} says this." for n in range(sentences))
    return f"## {heading}\n\n{body}\n"
