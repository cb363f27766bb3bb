"""What taking in documents by events asks of the outside world: a bucket that holds them, a
ledger of what became of each, a queue of what is to be done.

Like all ports, every coroutine may raise `DependencyError` and none a vendor's own exception.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from steadyrag.domain.errors import SteadyragError, Unavailable
from steadyrag.domain.objects import Attributes, Place, StoredObject
from steadyrag.domain.ports import Catalogue, Closeable, DocumentRecord

type Status = Literal["pending", "indexing", "indexed", "failed", "deleting", "deleted"]

SETTLED = frozenset({"indexed", "failed", "deleted"})
"""Nothing more will happen to a document until its object changes."""

LARGEST_CHUNK_COUNT = 16_000
"""Of one document: with as many of the version before, an entry fits DynamoDB's 400 kB."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger knows of a document.

    version, stamp: of the object that `status` is about. `sequencer`: of the newest event
    that has been dealt with. `recipe`: what besides the object decided what was indexed.
    `mark`: set by whoever wants the document gone, different each time.
    `record`: what the index holds of it, or may hold; None for nothing.
    """

    document_id: str
    status: Status
    version: str = ""
    stamp: str = ""
    sequencer: str = ""
    recipe: str = ""
    reason: str | None = None
    origin: str = ""
    title: str = ""
    size_bytes: int = 0
    chunks: int = 0
    updated_at: float = 0.0
    attempts: int = 0
    mark: str = ""
    record: DocumentRecord | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended, for now. Fields as in `Entry`."""

    status: Status
    version: str = ""
    stamp: str = ""
    sequencer: str = ""
    recipe: str = ""
    reason: str | None = None
    origin: str = ""
    title: str = ""
    size_bytes: int = 0
    chunks: int = 0


class Held(SteadyragError):
    """Somebody else is at work on the document, until `until` at the latest."""

    def __init__(self, place: Place, until: float) -> None:
        super().__init__(f"{place.document_id}: somebody else is at work on it")
        self.until = until


class Changed(SteadyragError):
    """An object is not what it was any more: somebody else has put, or deleted, it since."""


class LeaseLost(Unavailable):
    """The lease ran out, or the document is wanted gone since: what was to be written is not
    true any more. Looking again helps, saying it again does not."""

    retryable = False


class Ledger(Closeable, Protocol):
    """The entries of all documents, kept for good. Whoever changes one holds a lease on it,
    which must outlast the process that holds it: a worker may then be killed at any moment,
    and the next one finds what it left."""

    async def look_up(self, place: Place) -> Entry | None:
        """The entry as it is now."""

    async def claim(self, place: Place, *, owner: str, until: float) -> Entry:
        """Takes the lease, says `indexing`, counts an attempt, and returns the entry as it
        was before but with the attempt counted (`pending` for a new one). Raises `Held`.
        A document that is `deleting` stays that. Claiming again what `owner` holds returns
        the entry as it is: the answer to the first time may have been lost."""

    def owned_by(self, owner: str) -> Catalogue:
        """Records of documents that `owner` holds, by whose lease `put` and `remove` are
        allowed; else they raise `LeaseLost`. `remove` forgets the record, not the entry.
        `records` is all of them, whoever holds them."""

    async def settle(self, place: Place, *, owner: str, mark: str, outcome: Outcome) -> None:
        """Writes down how it ended, clears attempts and mark, and gives the lease back.
        Raises `LeaseLost` when the mark is not `mark` or the lease is gone: it ran out and
        somebody else has claimed the document. Settling again changes nothing."""

    async def release(
        self, place: Place, *, owner: str, reason: str | None = None, tried: bool = False
    ) -> None:
        """Gives the lease back without an outcome, and the attempt with it unless the
        document has been `tried` in vain; says `pending`, and in `reason` why. A document
        that is `deleting` stays that. Nothing happens when the lease is somebody else's."""

    async def expect(self, place: Place, outcome: Outcome) -> None:
        """Says that a new version is on its way (`pending`), whoever holds the lease; say it
        before the version is there. Fields of the outcome that are empty stay as they are,
        but for the reason, which was of the version before."""

    async def want_gone(self, place: Place, mark: str) -> Entry | None:
        """Says that the document is to go (`deleting`), whoever holds the lease; returns the
        entry before. Nothing happens where there is none, or one that is `deleted`."""

    def entries(self, namespace: str, *, after: str = "") -> AsyncIterator[Entry]:
        """All entries of a namespace with an id beyond `after`, without records, in the order
        of the ids' UTF-8 bytes, as a bucket lists its keys."""

    async def namespaces(self) -> list[str]:
        """All that ever had an entry, sorted."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object's content, in a file of its own, and its SHA-256 in hexadecimal."""

    object: StoredObject
    sha256: str


@dataclass(frozen=True, slots=True)
class Upload:
    """How a client sends an object's content itself: an HTTP POST of a multipart form to
    `url` with `fields`, and the content as the last field, `file`."""

    url: str
    fields: Mapping[str, str]
    expires_at: float
    max_bytes: int


class Bucket(Closeable, Protocol):
    """Objects by key. What is written can be read at once."""

    @property
    def name(self) -> str:
        """As events and origins name it."""

    async def head(self, key: str) -> StoredObject | None: ...

    async def fetch(self, key: str, into: str) -> Fetched | None:
        """Streams the object into the file at path `into`: what it holds in memory does not
        grow with the object."""

    async def put(self, key: str, content: bytes, attributes: Attributes) -> StoredObject: ...

    async def replace(self, key: str, content: bytes, *, stamp: str) -> None:
        """Puts an object without attributes over the one that has this stamp; where it is
        empty, over none. Raises `Changed` where another is there, and nothing is put."""

    async def delete(self, key: str) -> None:
        """Nothing happens where there is no such object."""

    async def upload(
        self, key: str, attributes: Attributes, *, max_bytes: int, lives_s: int
    ) -> Upload:
        """Leave for somebody else to put this one object. `NotImplementedError` where there
        is nothing that could take it."""

    def objects(self, prefix: str, *, after: str = "") -> AsyncIterator[StoredObject]:
        """All whose key begins with `prefix` and lies beyond `after`, in the order of the
        keys' UTF-8 bytes, without attributes."""

    async def folders(self, prefix: str) -> list[str]:
        """The parts of keys between `prefix` and the next slash, sorted."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message from the queue. `receive_count` is how often it has been handed out."""

    id: str
    body: str
    receive_count: int = 1
    attributes: Mapping[str, str] = field(default_factory=dict)


class Queue(Closeable, Protocol):
    """Messages for later; delivered at least once, in any order."""

    async def send(
        self, body: str, *, delay_s: int = 0, attributes: Mapping[str, str] | None = None
    ) -> None:
        """`delay_s` from 0 to 900. `attributes` are short texts that travel beside the body."""
