"""A service with a test set in it, apart from whatever the deployer has indexed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from steadyrag.domain.documents import BrokenDocument, Corpus, FoundDocument
from steadyrag.domain.errors import SteadyragError
from steadyrag.evaluation.dataset import Dataset
from steadyrag.indexing import IngestParts, IngestSummary
from steadyrag.ingest import ingest
from steadyrag.progress import of_ingest, progress
from steadyrag.search import Service
from steadyrag.settings import Settings
from steadyrag.wiring.ingest import build_ingest, cached, embedder_of
from steadyrag.wiring.service import build

VISIBLE_WITHIN_S = 120
"""How long a hosted index may take to show what was written."""


class IngestFailed(SteadyragError):
    """The test set is not in the index, so there is nothing to measure."""


@dataclass(frozen=True, slots=True)
class Workbench:
    """`service` searches what `parts` ingests; both share one embedder and one index."""

    service: Service
    parts: IngestParts
    namespace: str

    async def aclose(self) -> None:
        await self.parts.aclose()
        await self.service.aclose()


def open_workbench(settings: Settings, name: str, *, vectors: Path | None) -> Workbench:
    """The service that `settings` choose, with its files below `settings.data_dir` / `name`
    and its namespace called likewise, so that a hosted index keeps the set apart too.

    `vectors` is where passages' and questions' vectors are kept by content, across sets;
    None embeds everything again.
    """
    own = settings.model_copy(update={"data_dir": settings.data_dir / name})
    parts = build_ingest(own)
    if vectors is not None:
        parts = replace(parts, embedder=cached(parts.embedder, vectors))
    service = build(own, embedder=parts.embedder, index=parts.index, cache=None)
    return Workbench(service, parts, namespace=name.replace("/", "-"))


def workbench_name(dataset: Dataset, settings: Settings) -> str:
    """`eval/<16 hexadecimal digits>`, another one whenever the index would hold something
    else: other documents, other chunks, other vectors."""
    made_with = (dataset.content_hash, embedder_of(settings).name, str(settings.chunk_tokens))
    return f"eval/{hashlib.sha256('\0'.join(made_with).encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Subset:
    """A corpus that offers only the documents with these ids."""

    corpus: Corpus
    ids: Collection[str]

    def __iter__(self) -> Iterator[FoundDocument | BrokenDocument]:
        for offer in self.corpus:
            if offer.document_id in self.ids:
                yield offer

    def count(self) -> int:
        return len(self.ids)

    def covers(self, origin: str) -> bool:
        return self.corpus.covers(origin)

    def notes(self) -> list[str]:
        return self.corpus.notes()

    def holds(self, origin: str) -> bool:
        return self.corpus.holds(origin)


async def take_in(dataset: Dataset, bench: Workbench, label: str) -> IngestSummary:
    """Ingests the set's documents as `steadyrag ingest` does; raises `IngestFailed`."""
    corpus = Subset(bench.parts.files([dataset.folder], None), dataset.texts.keys())
    with progress(label) as advance:
        show = of_ingest(advance, len(dataset.texts))
        summary = await ingest(corpus, bench.parts, namespace=bench.namespace, progress=show)
        show(summary, "")
    if summary.stopped:
        raise IngestFailed(f"ingest stopped: {summary.stopped}")
    if summary.documents == len(summary.failed):
        raise IngestFailed(f"no document could be taken in; the first: {summary.failed[:1]}")
    return summary


async def visible_chunks(bench: Workbench, summary: IngestSummary) -> int | None:
    """Chunks that the index says it holds, once all that were written can be seen; hosted
    indexes show writes later. None where the index does not count. Raises `IngestFailed`."""
    written = summary.chunks_embedded + summary.chunks_kept
    chunks = (await bench.service.index.status(bench.namespace)).chunks
    if chunks is None or chunks >= written:
        return chunks
    with progress("Waiting for the index to show what was written") as advance:
        for _ in range(VISIBLE_WITHIN_S):
            await asyncio.sleep(1)
            chunks = (await bench.service.index.status(bench.namespace)).chunks
            if chunks is None or chunks >= written:
                return chunks
            advance(chunks, written)
    raise IngestFailed(f"the index shows {chunks:,} of the {written:,} chunks written to it")
