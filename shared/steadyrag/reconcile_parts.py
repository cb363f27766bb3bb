"""What reconciling a bucket and an index works with, and what can come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from steadyrag.domain.documents import ParsedDocument
from steadyrag.domain.errors import DependencyError, Rejected, SteadyragError
from steadyrag.domain.ledger import Bucket, LeaseLost, Ledger
from steadyrag.domain.objects import Attributes, Layout
from steadyrag.indexing import IngestParts

type ParseFile = Callable[[Path, str, Attributes], ParsedDocument]
"""The document in a file, by path, id and attributes. Blocks; raises `UnreadableDocument`."""


@dataclass(frozen=True, slots=True)
class ReconcileParts:
    """What reconciling works with.

    ingest: as for folders; its catalogue is not used, the ledger takes its place.
    parse: reads a fetched object. `parser` names it: another one reads everything again.
    largest_bytes: objects beyond it are refused unread.
    """

    ingest: IngestParts
    bucket: Bucket
    ledger: Ledger
    parse: ParseFile
    parser: str
    largest_bytes: int
    clock: Callable[[], float]
    layout: Layout = field(default_factory=Layout)

    @property
    def recipe(self) -> str:
        """What besides an object decides what is indexed of it."""
        return self.ingest.recipe.name(self.parser)

    async def aclose(self) -> None:
        for part in (self.ingest, self.bucket, self.ledger):
            await part.aclose()


@dataclass(frozen=True, slots=True)
class Settled:
    """The index holds what the bucket does. `known`: there was nothing to do."""

    status: str
    chunks: int = 0
    known: bool = False


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The document is to blame; what was indexed of it stays, until its object changes."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not done, for a reason that will pass. Ask again in `delay_s`; ever later where it
    `grows`, because something is down. `pauses`: others had better not ask either."""

    reason: str
    delay_s: float = 5.0
    grows: bool = False
    pauses: bool = False


type Result = Settled | Unreadable | Later


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document to bring up to date. `sequencer` is of the newest event about it, if there
    is one; `anew` does it even where the ledger says that there is nothing to do."""

    sequencer: str = ""
    anew: bool = False


def later(error: Exception) -> Later:
    """What to do about a failure that is not the document's."""
    if not isinstance(error, DependencyError):
        ours = isinstance(error, SteadyragError)
        return Later(str(error), grows=ours)
    wait_s = 5.0 if error.retry_after_s is None else error.retry_after_s
    one_document = isinstance(error, LeaseLost | Rejected)
    return Later(str(error), wait_s, grows=True, pauses=not one_document)
