"""One document while it is reconciled."""

from __future__ import annotations

from dataclasses import dataclass

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ledger import Entry
from steadyrag.domain.objects import Place, StoredObject
from steadyrag.reconcile_parts import Wanted


@dataclass(slots=True)
class Case:
    """A claimed document, and what one look at the bucket found.

    object: what the bucket held, None for nothing. `error`: why it could not be read.
    known: the index holds it already. `elsewhere`: it is another bucket's, none of ours.
    removed: nothing of it is left in the index. `read`: its content has been fetched.
    unlifted: why nobody could be told that it may be shown, though it is in the index.
    title: as its content says.
    """

    place: Place
    wanted: Wanted
    entry: Entry
    object: StoredObject | None = None
    error: DependencyError | None = None
    known: bool = False
    elsewhere: bool = False
    removed: bool = False
    read: bool = False
    unlifted: DependencyError | None = None
    title: str = ""

    @property
    def id(self) -> str:
        return self.place.document_id

    def another_look(self, entry: Entry | None) -> Case:
        """The same document with nothing found yet, and what the ledger says by now."""
        entry = entry or self.entry
        return Case(self.place, self.wanted, entry)
