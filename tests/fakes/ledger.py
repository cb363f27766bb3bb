"""A ledger in a dictionary, seen by everyone who holds the same object."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace

from fakes.trouble import Trouble
from steadyrag.domain import ledger_line
from steadyrag.domain.ledger import Entry, Outcome
from steadyrag.domain.ledger_line import Line
from steadyrag.domain.objects import Place
from steadyrag.domain.ports import DocumentRecord


class InMemoryLedger(Trouble):
    """Keeps the promises of `Ledger` with the clock it is given.

    `InMemoryLedger(beside=ledger)` is another process's connection to the same ledger: it
    shares what is written, and has a clock, failures and call counts of its own. The methods
    of what `owned_by` returns count and fail here: `records`, `put`, `remove`.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        beside: "InMemoryLedger | None" = None,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._lines: dict[Place, Line] = beside._lines if beside is not None else {}

    async def look_up(self, place: Place) -> Entry | None:
        await self._called("look_up")
        line = self._line(place)
        return line.entry if line else None

    async def claim(self, place: Place, *, owner: str, until: float) -> Entry:
        await self._called("claim")
        self._lines[place], entry = ledger_line.claimed(
            self._line(place), place, owner=owner, until=until, now_s=self._clock()
        )
        return entry

    def owned_by(self, owner: str) -> "InMemoryOwned":
        return InMemoryOwned(self, owner)

    async def settle(self, place: Place, *, owner: str, mark: str, outcome: Outcome) -> None:
        await self._called("settle")
        self._lines[place] = ledger_line.settled(
            self._line(place), place, owner=owner, mark=mark, outcome=outcome, now_s=self._clock()
        )

    async def release(
        self, place: Place, *, owner: str, reason: str | None = None, tried: bool = False
    ) -> None:
        await self._called("release")
        line = ledger_line.released(
            self._line(place), owner=owner, reason=reason, tried=tried, now_s=self._clock()
        )
        if line is not None:
            self._lines[place] = line

    async def expect(self, place: Place, outcome: Outcome) -> None:
        await self._called("expect")
        line = self._line(place)
        self._lines[place] = ledger_line.expected(line, place, outcome, now_s=self._clock())

    async def want_gone(self, place: Place, mark: str) -> Entry | None:
        await self._called("want_gone")
        line = self._line(place)
        if line is None or line.entry.status == "deleted":
            return None
        self._lines[place] = ledger_line.wanted_gone(line, mark, now_s=self._clock())
        return line.entry

    async def entries(self, namespace: str, *, after: str = "") -> AsyncIterator[Entry]:
        await self._called("entries")
        places = [place for place in self._lines if place.namespace == namespace]
        for place in sorted(places, key=lambda place: place.document_id.encode()):
            line = self._line(place)
            if line is not None and place.document_id.encode() > after.encode():
                yield replace(line.entry, record=None)

    async def namespaces(self) -> list[str]:
        await self._called("namespaces")
        return sorted({place.namespace for place in self._lines})

    def _line(self, place: Place) -> Line | None:
        line = self._lines.get(place)
        return None if line is None or line.is_over(self._clock()) else line


class InMemoryOwned:
    """Implements `Catalogue` by the lease of one owner."""

    def __init__(self, ledger: InMemoryLedger, owner: str) -> None:
        self._ledger = ledger
        self._owner = owner

    async def records(self, namespace: str) -> Mapping[str, DocumentRecord]:
        await self._ledger._called("records")
        entries = {
            place.document_id: line.entry
            for place in self._ledger._lines
            if place.namespace == namespace and (line := self._ledger._line(place)) is not None
        }
        return {name: entry.record for name, entry in entries.items() if entry.record}

    async def put(self, namespace: str, record: DocumentRecord) -> None:
        await self._ledger._called("put")
        self._write(Place(namespace, record.document_id), record)

    async def remove(self, namespace: str, document_id: str) -> None:
        await self._ledger._called("remove")
        self._write(Place(namespace, document_id), None)

    async def aclose(self) -> None:
        """Nothing of its own to drop."""

    def _write(self, place: Place, record: DocumentRecord | None) -> None:
        line = self._ledger._line(place)
        self._ledger._lines[place] = ledger_line.with_record(line, place, self._owner, record)
