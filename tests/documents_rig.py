"""A bucket, a ledger, an index and a queue with a worker between them, all in memory."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fakes import (
    FakeEmbedder,
    InMemoryBucket,
    InMemoryIndex,
    InMemoryLedger,
    InMemoryQueue,
    InMemoryStore,
)
from steadyrag.documents import DocumentParts
from steadyrag.domain.documents import ParsedDocument, Section, UnreadableDocument
from steadyrag.domain.ledger import Letter
from steadyrag.domain.letters import event_letter
from steadyrag.domain.models import Hit
from steadyrag.domain.objects import Attributes, Layout, ObjectEvent, Place
from steadyrag.indexing import IngestParts
from steadyrag.ingest_batches import Retry
from steadyrag.ingest_worker import WorkerParts, work
from steadyrag.reconcile_parts import ReconcileParts
from steadyrag.resilience.corpus import read_tombs
from steadyrag.resilience.corpus_changes import CorpusChanges
from steadyrag.resilience.keys import tombs_key
from steadyrag.resilience.pause import Pause
from steadyrag.resilience.remembered_passages import RememberedPassages

NAMESPACE = "default"


def place(document_id: str, namespace: str = NAMESPACE) -> Place:
    return Place(namespace, document_id)


def parse_text(path: Path, document_id: str, attributes: Attributes) -> ParsedDocument:
    """A document whose text begins with `unreadable` can't be read."""
    text = path.read_text()
    if text.startswith("unreadable"):
        raise UnreadableDocument("is damaged")
    title = attributes.title or document_id
    return ParsedDocument(document_id, title, [Section((), text)], attributes.url)


@dataclass
class DocumentsRig:
    """`now` is the time; pauses of retries pass at once. `letters` makes events of objects."""

    now: float = 1_000_000.0
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    index: InMemoryIndex = field(default_factory=InMemoryIndex)

    def __post_init__(self) -> None:
        clock = self.clock
        self.bucket = InMemoryBucket(clock=clock)
        self.ledger = InMemoryLedger(clock=clock)
        self.queue = InMemoryQueue(clock=clock)
        self.dead = InMemoryQueue(clock=clock)
        self.store = InMemoryStore(clock=clock)
        self.layout = Layout()
        self.remembered = RememberedPassages(self.embedder)
        self.pauses_s: list[float] = []
        self._sequence = 0
        self._owners = 0

    def clock(self) -> float:
        return self.now

    def reconcile_parts(self, **changes: Any) -> ReconcileParts:
        async def sleep(seconds: float) -> None:
            self.pauses_s.append(seconds)

        parts: dict[str, Any] = {
            "ingest": IngestParts(
                embedder=self.remembered,
                index=self.index,
                catalogue=self.ledger.owned_by("nobody"),
                count_tokens=self.embedder.count_tokens,
                files=lambda paths, base_url: NotImplemented,
                changes=CorpusChanges([self.store], clock=self.clock),
                max_tokens=60,
                most_chunks=50,
                retry=Retry(attempts=2, sleep=sleep),
            ),
            "bucket": self.bucket,
            "ledger": self.ledger,
            "parse": parse_text,
            "parser": "test",
            "largest_bytes": 100_000,
            "clock": self.clock,
        } | changes
        return ReconcileParts(**parts)

    def worker_parts(self, **changes: Any) -> WorkerParts:
        return WorkerParts(
            reconcile=self.reconcile_parts(**changes),
            queue=self.queue,
            dead=self.dead,
            pause=Pause([self.store], clock=self.clock),
            jitter=lambda: 0.0,
        )

    def document_parts(self) -> DocumentParts:
        return DocumentParts(
            bucket=self.bucket,
            ledger=self.ledger,
            clock=self.clock,
            changes=CorpusChanges([self.store], clock=self.clock),
            tell=lambda event: self.queue.send(event_letter(event)),
        )

    async def shown(self) -> list[str]:
        """Ids of the documents that a search would show now."""
        hits = [Hit(e.chunk, 1.0) for e in self.index.held(NAMESPACE).values()]
        _, maps = await self.store.read((), [tombs_key(NAMESPACE)])
        tombs = read_tombs(maps.get(tombs_key(NAMESPACE), {}), self.now)
        return sorted({hit.chunk.document_id for hit in tombs.filter_hits(hits)})

    def owner(self) -> str:
        self._owners += 1
        return f"owner-{self._owners}"

    async def put(self, document_id: str, text: str, **said: Any) -> str:
        """Puts an object; returns the body of its event."""
        key = self.layout.key(place(document_id))
        await self.bucket.put(key, text.encode(), Attributes(**said))
        return self.event(document_id)

    async def delete(self, document_id: str) -> str:
        await self.bucket.delete(self.layout.key(place(document_id)))
        return self.event(document_id)

    def event(self, document_id: str, *, sequencer: str | None = None) -> str:
        self._sequence += 1
        name = f"{self._sequence:016X}" if sequencer is None else sequencer
        key = self.layout.key(place(document_id))
        return event_letter(ObjectEvent(self.bucket.name, key, name, self.now))

    async def work(
        self, bodies: Sequence[str | Letter], *, seconds: float = 60.0, **changes: Any
    ) -> list[str]:
        letters = [
            body if isinstance(body, Letter) else Letter(f"m{n}", body)
            for n, body in enumerate(bodies)
        ]
        parts = self.worker_parts(**changes)
        return await work(letters, parts, owner=self.owner(), seconds=seconds)

    async def work_off(self, *, most_rounds: int = 200) -> None:
        """Until the queue is empty, letting the time of delays pass."""
        for _ in range(most_rounds):
            if not self.queue.waiting:
                return
            letters = self.queue.receive()
            if not letters:
                self.now += 60.0
                continue
            assert await self.work(letters) == []
        raise AssertionError("the queue does not become empty")

    def held(self) -> dict[str, list[str]]:
        """What the index holds: texts by document id, sorted."""
        held: dict[str, list[str]] = {}
        for embedded in self.index.held(NAMESPACE).values():
            held.setdefault(embedded.chunk.document_id, []).append(embedded.chunk.text)
        return {document_id: sorted(texts) for document_id, texts in sorted(held.items())}


def sentences(topic: str, count: int = 12) -> str:
    """A text of several chunks."""
    return " ".join(f"Line {n} of {topic} says this and that." for n in range(count))


class Killed(BaseException):
    """The process is gone: nothing that it would have done next is done."""


class KilledSoon:
    """Kills a run at one of its calls to the outside, by wrapping the fakes' `_called`."""

    def __init__(self, *fakes: Any) -> None:
        self._fakes = fakes
        self._left: int | None = None
        for fake in fakes:
            self._wrap(fake)

    def after(self, calls: int | None) -> None:
        self._left = calls

    def _wrap(self, fake: Any) -> None:
        inner: Callable[[str], Any] = fake._called

        async def called(method: str) -> None:
            self._count()
            await inner(method)
            await asyncio.sleep(0)
            self._count()

        fake._called = called

    def _count(self) -> None:
        if self._left is None:
            return
        if self._left <= 0:
            raise Killed
        self._left -= 1
