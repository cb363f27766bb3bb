"""Documents as objects in a bucket: where they lie, what became of them, what is said of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.models import Metadata
from steadyrag.domain.text import clean_namespace

PREFIX = "documents/"
"""Of every key that holds a document, in a bucket of our own."""


@dataclass(frozen=True, slots=True)
class Place:
    """A document by name: what the ledger and the index know it as."""

    namespace: str
    document_id: str


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is said of a document besides its bytes. Stored with the object.

    format: `markdown`, `text`, `html`, `pdf` or `docx`, where the id has no suffix that says so.
    """

    format: str | None = None
    title: str | None = None
    url: str | None = None
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it is in the bucket now.

    version: its version id, or its `stamp` where the bucket keeps no versions.
    stamp: changes whenever the object does; a listing of the bucket says it, too.
    modified_at: seconds since 1970, as the bucket counts them (whole ones in S3).
    attributes: None where a listing did not say.
    """

    key: str
    version: str
    stamp: str
    size_bytes: int
    modified_at: float
    attributes: Attributes | None = None


def origin(bucket: str, key: str) -> str:
    """Where a document came from, for records."""
    return f"s3://{bucket}/{key}"


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """Something happened to the object at `key`. It says nothing of what is there now.

    sequencer: orders events of one key, as `is_older` compares; empty where nobody gave one.
    """

    bucket: str
    key: str
    sequencer: str
    happened_at: float


def is_older(sequencer: str, other: str) -> bool:
    """Whether an event came before another of the same key. Hexadecimal; the shorter one is
    padded on its right (S3's "Event message structure")."""
    length = max(len(sequencer), len(other))
    return sequencer.ljust(length, "0") < other.ljust(length, "0")


def newest(sequencers: Iterable[str]) -> str:
    """The last of them, or nothing of none."""
    last = ""
    for sequencer in sequencers:
        if is_older(last, sequencer):
            last = sequencer
    return last


@dataclass(frozen=True, slots=True)
class Layout:
    """How keys of a bucket and names of documents go together.

    Without a `namespace` the first part of the path after `prefix` is it; with one, all that
    is below `prefix` belongs to it.
    """

    prefix: str = PREFIX
    namespace: str | None = None

    def place(self, key: str) -> Place | None:
        """None for what is no document: outside the prefix, a folder's marker, a name that
        no namespace can have."""
        if not key.startswith(self.prefix):
            return None
        namespace, document_id = self.namespace, key[len(self.prefix) :]
        if namespace is None:
            namespace, _, document_id = document_id.partition("/")
        try:
            clean_namespace(namespace)
        except InvalidInput:
            return None
        if not document_id or document_id.endswith("/"):
            return None
        return Place(namespace, document_id)

    def key(self, place: Place) -> str:
        middle = "" if self.namespace else f"{place.namespace}/"
        return f"{self.prefix}{middle}{place.document_id}"

    def prefix_of(self, namespace: str) -> str:
        """What the keys of a namespace begin with."""
        return self.prefix if self.namespace else f"{self.prefix}{namespace}/"
