"""One group of documents of one namespace, from claim to settle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from steadyrag.burying import bury
from steadyrag.domain.documents import UnreadableDocument
from steadyrag.domain.errors import DependencyError, Refused, Rejected, SteadyragError, Unavailable
from steadyrag.domain.ledger import SETTLED, Held, LeaseLost, Outcome
from steadyrag.domain.objects import Place, newest, origin
from steadyrag.forget import remove_documents
from steadyrag.indexing import Hopeless, Indexing
from steadyrag.reconcile_case import Case
from steadyrag.reconcile_feed import Feed, Vanished
from steadyrag.reconcile_parts import (
    Later,
    ReconcileParts,
    Result,
    Settled,
    Unreadable,
    Wanted,
    later,
)
from steadyrag.resilience.corpus_changes import Changes
from steadyrag.resilience.together import together

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 8
"""After so many in vain, as the process died or its time ran out, the document is to blame."""

MOST_LOOKS = 3
"""At an object that keeps changing, before others get their turn."""

_TAKING = 0.6
"""Of the time, after which no further document is begun with."""
_LONGEST_WAIT_S = 30.0
_LEASE_MARGIN_S = 0.5

_NO_TIME = Later("no time was left", 0)


class _OutOfTime(SteadyragError):
    """What is left waits its turn."""


class Step:
    """`run` once. `until` is when the leases end: nothing is written after it."""

    def __init__(
        self,
        parts: ReconcileParts,
        namespace: str,
        owner: str,
        *,
        until: float,
        rebuild: bool = False,
    ) -> None:
        self._parts = parts
        self._retry = parts.ingest.retry
        self._namespace = namespace
        self._owner = owner
        self._until = until
        self._rebuild = rebuild
        # Tombstones are lifted when a document is in the index for certain, not before: until
        # then it may be one that is wanted gone again.
        self._ingest = replace(
            parts.ingest,
            catalogue=parts.ledger.owned_by(owner),
            changes=_TombsStand(parts.ingest.changes),
        )
        self._results: dict[Place, Result] = {}
        self._cases: list[Case] = []
        self._touched = False

    async def run(self, wanted: Mapping[Place, Wanted], ends_at: float) -> dict[Place, Result]:
        """Looks and indexes until `ends_at`, and then says how far it came."""
        try:
            async with asyncio.timeout(self._left_s(self._until) - _LEASE_MARGIN_S):
                await self._claim(wanted)
                await self._settle_all(ends_at)
                changed = Later("its object, or who wants it, changed while it was indexed")
                await self._leave_all(changed)
                if self._touched:
                    # Where this fails, answers computed meanwhile are taken for fresh until
                    # the next change; tombstones keep what was deleted out of them.
                    with suppress(DependencyError):
                        await self._retry(
                            lambda: self._parts.ingest.changes.changed(self._namespace)
                        )
        except TimeoutError:
            log.warning("leases ran out before all was written down")
        except asyncio.CancelledError:
            await self._leave_all(Later("was interrupted"))
            raise
        return {place: self._results.get(place, _NO_TIME) for place in wanted}

    async def _claim(self, wanted: Mapping[Place, Wanted]) -> None:
        async def claim(place: Place) -> None:
            try:
                entry = await self._retry(
                    lambda: self._parts.ledger.claim(place, owner=self._owner, until=self._until)
                )
            except Held as held:
                wait_s = min(max(self._left_s(held.until), 1.0), _LONGEST_WAIT_S)
                self._results[place] = Later(str(held), wait_s)
            except DependencyError as error:
                self._results[place] = later(error)
            else:
                self._cases.append(Case(place, wanted[place], entry))

        await asyncio.gather(*map(claim, wanted))

    async def _settle_all(self, ends_at: float) -> None:
        for _ in range(MOST_LOOKS):
            if (cases := self._open()) and self._left_s(ends_at) > 0:
                again = await self._look_and_settle(cases, ends_at)
                self._cases = [await self._another_look(case) for case in again]

    async def _look_and_settle(self, cases: Sequence[Case], ends_at: float) -> list[Case]:
        """One look at the bucket and what follows; returns those to look at again."""
        indexing = Indexing(self._ingest, self._namespace, rebuild=self._rebuild, begin_first=True)
        taking_until = self._parts.clock() + _TAKING * self._left_s(ends_at)
        feed = Feed(self._parts, indexing, taking_until=taking_until)
        stopped: Exception | None = None
        try:
            async with asyncio.timeout(self._left_s(ends_at)):
                await self._bring_up(cases, indexing, feed)
        except Hopeless as end:
            stopped = end.error
        except TimeoutError:
            stopped = _why_so_long(indexing, feed)
        except DependencyError as error:
            stopped = error
        except Exception as error:  # a fault of ours, and none of the documents'
            log.exception("documents wait")
            ours = SteadyragError(f"met an error of ours ({type(error).__name__})")
            stopped = error if isinstance(error, SteadyragError) else ours
        self._touched = self._touched or indexing.touched
        lifted = await self._lift([case for case in cases if case.id in indexing.done])

        async def conclude(case: Case) -> bool:
            try:
                return await self._conclude(case, indexing, lifted, stopped)
            except LeaseLost:
                if case.id in lifted:
                    await self._bury_again(case)
                return True
            except DependencyError as error:
                await self._leave(case, later(error))
                return False

        again = await asyncio.gather(*map(conclude, cases))
        return [case for case, wanted in zip(cases, again, strict=True) if wanted]

    async def _bring_up(self, cases: Sequence[Case], indexing: Indexing, feed: Feed) -> None:
        await together(map(self._look, cases))
        for case in cases:
            if case.entry.attempts > MOST_ATTEMPTS:
                why = f"{MOST_ATTEMPTS} attempts to read it ended with its process, or out of time"
                indexing.fail(case.id, UnreadableDocument(why))
        looked = [case for case in cases if case.error is None and not case.elsewhere]
        await self._remove([case for case in looked if case.object is None])
        there = [case for case in looked if case.object and not case.known]
        there = [case for case in there if case.id not in indexing.failures]
        if there:
            # Vectors are paid for: nothing is embedded while there is nowhere to put it.
            await self._retry(lambda: self._ingest.index.status(self._namespace))
            await feed.run(there)

    async def _look(self, case: Case) -> None:
        key, entry = self._parts.layout.key(case.place), case.entry
        try:
            found = case.object = await self._retry(lambda: self._parts.bucket.head(key))
        except DependencyError as error:
            case.error = error
            return
        if found is None:
            came_from = entry.record.origin if entry.record else entry.origin
            ours = origin(self._parts.bucket.name, "")
            case.elsewhere = bool(came_from) and not came_from.startswith(ours) and not entry.mark
        elif not case.wanted.anew and entry.status in ("indexed", "failed"):
            case.known = (entry.version, entry.recipe) == (found.version, self._parts.recipe)

    async def _remove(self, cases: Sequence[Case]) -> None:
        records = [case.entry.record for case in cases if case.entry.record is not None]
        if records:
            self._touched = True
            await remove_documents(records, self._namespace, self._ingest)
        without = [case.id for case in cases if case.entry.record is None and case.entry.mark]
        if without:
            await self._retry(
                lambda: self._ingest.changes.changing(self._namespace, deleted=without)
            )
        for case in cases:
            case.removed = True

    async def _lift(self, cases: Sequence[Case]) -> set[str]:
        """Says of documents that are in the index that they may be shown (again), unless they
        changed or are wanted gone meanwhile; returns the ids of those that may."""
        same = await asyncio.gather(*map(self._is_same, cases))
        kept = [case for case, is_same in zip(cases, same, strict=True) if is_same]
        # Asked last: whoever deletes marks a document before they bury it.
        marks = await asyncio.gather(*map(self._mark, kept))
        ids = [c.id for c, mark in zip(kept, marks, strict=True) if mark == c.entry.mark]
        try:
            if ids:
                await self._retry(
                    lambda: self._parts.ingest.changes.changing(self._namespace, added=ids)
                )
        except DependencyError as error:
            for case in kept:
                case.unlifted = error
            return set()
        return set(ids)

    async def _is_same(self, case: Case) -> bool:
        key = self._parts.layout.key(case.place)
        try:
            found = await self._retry(lambda: self._parts.bucket.head(key))
        except DependencyError as error:
            case.unlifted = error
            return False
        return bool(found and case.object and found.version == case.object.version)

    async def _mark(self, case: Case) -> str | None:
        try:
            entry = await self._retry(lambda: self._parts.ledger.look_up(case.place))
        except DependencyError as error:
            case.unlifted = error
            return None
        return entry.mark if entry else None

    async def _bury_again(self, case: Case) -> None:
        """Somebody deleted the document between our asking and our lifting of its tombstone."""
        ledger, changes = self._parts.ledger, self._parts.ingest.changes
        with suppress(DependencyError):
            await self._retry(lambda: bury(case.place, ledger, changes, said="added"))

    async def _conclude(
        self, case: Case, indexing: Indexing, lifted: set[str], stopped: Exception | None
    ) -> bool:
        """Writes down what became of a document; returns whether to look at it again."""
        failure = indexing.failures.get(case.id)
        if case.removed:
            await self._settle(case, Outcome("deleted"))
        elif case.elsewhere and case.entry.status not in SETTLED:
            await self._leave_elsewhere(case)
        elif case.known or case.elsewhere:
            await self._settle(case, self._as_before(case))
        elif case.id in lifted:
            await self._settle(case, self._of_object(case, indexing.done[case.id]))
        elif case.error is not None:
            if self._alone_is_refused(case.error):
                await self._fail(case, case.error)
            else:
                await self._leave(case, replace(later(case.error), pauses=False))
        elif isinstance(failure, UnreadableDocument | Rejected):
            await self._fail(case, failure)
        elif case.unlifted is not None:
            await self._leave(case, later(case.unlifted))
        elif case.id in indexing.done or isinstance(failure, Vanished):
            return True
        else:
            error = failure or stopped
            why = _NO_TIME if error is None or isinstance(error, _OutOfTime) else later(error)
            in_vain = isinstance(stopped, _OutOfTime) and indexing.reading == case.id
            await self._leave(case, why, tried=in_vain)
        return False

    def _alone_is_refused(self, error: DependencyError) -> bool:
        """Whether the bucket hands out others, but not this object."""
        others_are_read = any(other.read for other in self._cases)
        return isinstance(error, Rejected) or (isinstance(error, Refused) and others_are_read)

    async def _fail(self, case: Case, reason: SteadyragError) -> None:
        """What is indexed of the version before stays, unless somebody wanted that gone: its
        tombstone would not hide it for ever."""
        if case.entry.mark:
            entry = await self._retry(lambda: self._parts.ledger.look_up(case.place))
            case.entry = replace(case.entry, record=entry.record if entry else None, chunks=0)
            await self._remove([case])
        outcome = self._of_object(case, case.entry.chunks)
        await self._settle(case, replace(outcome, status="failed", reason=str(reason)))

    async def _leave_elsewhere(self, case: Case) -> None:
        """Whoever reads the other bucket has not finished with it."""
        await self._leave(case, Later("its object is in another bucket"))
        self._results[case.place] = Settled(case.entry.status, case.entry.chunks, known=True)

    def _as_before(self, case: Case) -> Outcome:
        entry = case.entry
        return Outcome(
            status=entry.status,
            version=entry.version,
            stamp=entry.stamp,
            recipe=entry.recipe,
            reason=entry.reason,
            origin=entry.origin,
            title=entry.title,
            size_bytes=entry.size_bytes,
            chunks=entry.chunks,
        )

    def _of_object(self, case: Case, chunks: int) -> Outcome:
        found = case.object
        return Outcome(
            "indexed",
            version=found.version if found else "",
            stamp=found.stamp if found else "",
            recipe=self._parts.recipe,
            origin=origin(self._parts.bucket.name, self._parts.layout.key(case.place)),
            title=case.title or case.entry.title,
            size_bytes=found.size_bytes if found else 0,
            chunks=chunks,
        )

    async def _settle(self, case: Case, outcome: Outcome) -> None:
        sequencer = newest([case.entry.sequencer, case.wanted.sequencer])
        outcome = replace(outcome, sequencer=sequencer)
        await self._retry(
            lambda: self._parts.ledger.settle(
                case.place, owner=self._owner, mark=case.entry.mark, outcome=outcome
            )
        )
        known = case.known or case.elsewhere or (case.removed and case.entry.status == "deleted")
        self._results[case.place] = (
            Unreadable(outcome.reason or "")
            if outcome.status == "failed" and not known
            else Settled(outcome.status, outcome.chunks, known)
        )

    async def _leave(self, case: Case, result: Later, *, tried: bool = False) -> None:
        """Gives the lease back, if the ledger can be reached; else it runs out."""
        self._results[case.place] = result
        with suppress(DependencyError):
            await self._retry(
                lambda: self._parts.ledger.release(
                    case.place, owner=self._owner, reason=result.reason, tried=tried
                )
            )

    async def _leave_all(self, result: Later) -> None:
        await asyncio.gather(*(self._leave(case, result) for case in self._open()))

    async def _another_look(self, case: Case) -> Case:
        """A case that takes up what the ledger says by now."""
        entry = None
        with suppress(DependencyError):
            entry = await self._retry(lambda: self._parts.ledger.look_up(case.place))
        return case.another_look(entry)

    def _open(self) -> list[Case]:
        return [case for case in self._cases if case.place not in self._results]

    def _left_s(self, at: float) -> float:
        return at - self._parts.clock()


def _why_so_long(indexing: Indexing, feed: Feed) -> SteadyragError:
    """There was much to do, or one document takes all the time, or one fetch; else a vendor
    or a store does not answer, and will not do so sooner for being asked by everybody."""
    came_forward = bool(indexing.advanced or indexing.done or indexing.failures)
    if came_forward or indexing.reading is not None:
        return _OutOfTime("no time was left")
    slow = Unavailable("ingest", "what it depends on did not answer in time")
    return SteadyragError(str(slow)) if feed.fetching else slow


class _TombsStand:
    """`Changes` that lift no tombstone."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def changing(
        self,
        namespace: str,
        *,
        deleted: Iterable[str] = (),
        added: Iterable[str] = (),
        wanted_gone: Iterable[str] = (),
    ) -> None:
        await self._changes.changing(namespace, deleted=deleted, wanted_gone=wanted_gone)

    async def changed(self, namespace: str) -> None:
        await self._changes.changed(namespace)
