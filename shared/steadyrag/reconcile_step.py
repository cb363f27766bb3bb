"""One group of documents of one namespace, from claim to settle."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from steadyrag.domain.documents import FoundDocument, ParsedDocument, UnreadableDocument
from steadyrag.domain.errors import DependencyError, Rejected, SteadyragError
from steadyrag.domain.ledger import Entry, Fetched, Held, LeaseLost, Outcome
from steadyrag.domain.objects import Attributes, Place, StoredObject, newest, origin
from steadyrag.forget import remove_documents
from steadyrag.indexing import Hopeless, Indexing
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
"""After so many that ended without a word, because the process died, the document is to blame."""

MOST_LOOKS = 3
"""At an object that keeps changing, before others get their turn."""

_LONGEST_WAIT_S = 30.0


class _Vanished(SteadyragError):
    """The object was there, and is not any more."""


@dataclass(slots=True)
class _Case:
    """One document, claimed. `object` is what the bucket held, None for nothing; `known` says
    that the index holds it already, `removed` that nothing of it is left there."""

    place: Place
    wanted: Wanted
    entry: Entry
    object: StoredObject | None = None
    known: bool = False
    removed: bool = False
    title: str = ""

    @property
    def id(self) -> str:
        return self.place.document_id


class Step:
    """`run` once. `until` is when the leases end."""

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
        self._touched = False

    async def run(self, wanted: Mapping[Place, Wanted], seconds: float) -> dict[Place, Result]:
        cases = await self._claim(wanted)
        try:
            cases = await self._settle_all(cases, self._parts.clock() + seconds)
        except asyncio.CancelledError:
            unsettled = [case for case in cases if case.place not in self._results]
            await asyncio.gather(*(self._leave(c, Later("was interrupted")) for c in unsettled))
            raise
        for case in cases:
            await self._leave(
                case, Later("its object, or who wants it, changed while it was indexed")
            )
        if self._touched:
            # Where this fails, answers computed meanwhile are taken for fresh until the next
            # change or the end of their time; tombstones keep what was deleted out of them.
            with suppress(DependencyError):
                await self._retry(lambda: self._parts.ingest.changes.changed(self._namespace))
        return self._results

    async def _settle_all(self, cases: list[_Case], ends_at: float) -> list[_Case]:
        """Returns those that keep changing."""
        for _ in range(MOST_LOOKS):
            left_s = ends_at - self._parts.clock()
            if cases and left_s > 0:
                cases = await self._look_and_settle(cases, left_s)
        return cases

    async def _claim(self, wanted: Mapping[Place, Wanted]) -> list[_Case]:
        async def claim(place: Place) -> _Case | None:
            try:
                entry = await self._retry(
                    lambda: self._parts.ledger.claim(place, owner=self._owner, until=self._until)
                )
            except Held as held:
                wait_s = min(max(held.until - self._parts.clock(), 1.0), _LONGEST_WAIT_S)
                self._results[place] = Later(str(held), wait_s)
            except DependencyError as error:
                self._results[place] = later(error)
            else:
                return _Case(place, wanted[place], entry)
            return None

        return [case for case in await asyncio.gather(*map(claim, wanted)) if case]

    async def _look_and_settle(self, cases: Sequence[_Case], seconds: float) -> list[_Case]:
        """One look at the bucket and what follows; returns those to look at again."""
        indexing = Indexing(self._ingest, self._namespace, rebuild=self._rebuild)
        stopped: Exception | None = None
        try:
            async with asyncio.timeout(seconds):
                await self._bring_up(cases, indexing)
        except Hopeless as end:
            stopped = end.error
        except TimeoutError:
            stopped = SteadyragError("no time was left")
        except DependencyError as error:
            stopped = error
        self._touched = self._touched or indexing.touched
        done = [case for case in cases if case.id in indexing.done]
        lifted = await self._lift([case for case in done if not await self._has_changed(case)])

        async def conclude(case: _Case) -> bool:
            try:
                return await self._conclude(case, indexing, lifted, stopped)
            except LeaseLost:
                return True
            except DependencyError as error:
                await self._leave(case, later(error))
                return False

        again = await asyncio.gather(*map(conclude, cases))
        return [
            case
            for case, wanted in zip(cases, again, strict=True)
            if wanted and await self._reread(case)
        ]

    async def _bring_up(self, cases: Sequence[_Case], indexing: Indexing) -> None:
        await together(map(self._look, cases))
        hopeless = [case for case in cases if case.entry.attempts > MOST_ATTEMPTS]
        for case in hopeless:
            why = f"ended the process that was to read it {MOST_ATTEMPTS} times"
            indexing.fail(case.id, UnreadableDocument(why))
        await self._remove([case for case in cases if case.object is None])
        there = [case for case in cases if case.object and not case.known]
        await self._index([case for case in there if case not in hopeless], indexing)

    async def _look(self, case: _Case) -> None:
        key = self._parts.layout.key(case.place)
        found = await self._retry(lambda: self._parts.bucket.head(key))
        case.object, entry = found, case.entry
        case.known = bool(
            found
            and not case.wanted.anew
            and entry.status in ("indexed", "failed")
            and (entry.version, entry.recipe) == (found.version, self._parts.recipe)
        )

    async def _remove(self, cases: Sequence[_Case]) -> None:
        records = [case.entry.record for case in cases if case.entry.record is not None]
        if records:
            self._touched = True
            await remove_documents(records, self._namespace, self._ingest)
        for case in cases:
            case.removed = True

    async def _index(self, cases: Sequence[_Case], indexing: Indexing) -> None:
        with tempfile.TemporaryDirectory(prefix="steadyrag-") as folder:
            async with aclosing(self._fetched(cases, Path(folder), indexing)) as fetched:
                async for case, content, path in fetched:
                    await self._take(case, content, path, indexing)
            await indexing.finish()

    async def _fetched(
        self, cases: Sequence[_Case], folder: Path, indexing: Indexing
    ) -> AsyncGenerator[tuple[_Case, Fetched, Path]]:
        """Contents in files, the next one fetched while one is worked on."""
        waiting = list(cases)
        ahead: asyncio.Task[Fetched | None] | None = None
        try:
            while waiting:
                case = waiting.pop(0)
                path = folder / str(len(waiting))
                fetch, ahead = ahead or self._fetch(case, path), None
                if waiting:
                    ahead = self._fetch(waiting[0], folder / str(len(waiting) - 1))
                try:
                    content = await fetch
                except UnreadableDocument as problem:
                    indexing.fail(case.id, problem)
                except DependencyError as error:
                    indexing.fail(case.id, error)
                    indexing.went_wrong([error])
                else:
                    if content is None:
                        indexing.fail(case.id, _Vanished("went while it was fetched"))
                    else:
                        yield case, content, path
                path.unlink(missing_ok=True)
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    def _fetch(self, case: _Case, path: Path) -> asyncio.Task[Fetched | None]:
        async def fetch() -> Fetched | None:
            assert case.object is not None  # noqa: S101 - only what is there is fetched
            most = self._parts.largest_bytes
            if case.object.size_bytes > most:
                raise UnreadableDocument(
                    f"is {case.object.size_bytes / 1e6:,.1f} MB; at most {most / 1e6:,.0f} MB "
                    "are read"
                )
            key = self._parts.layout.key(case.place)
            return await self._retry(lambda: self._parts.bucket.fetch(key, str(path)))

        return asyncio.create_task(fetch())

    async def _take(self, case: _Case, content: Fetched, path: Path, indexing: Indexing) -> None:
        case.object = content.object
        attributes = content.object.attributes or Attributes()
        said = json.dumps(asdict(attributes), sort_keys=True)
        shape = f"{self._parts.parser}\0{said}\0{content.sha256}"
        document = FoundDocument(
            document_id=case.id,
            origin=self._origin(case),
            digest=sha256(shape.encode()).hexdigest(),
            parse=partial(self._parse, case, path, attributes),
        )
        try:
            await indexing.take(document, case.entry.record)
        except (Hopeless, DependencyError):
            raise
        except Exception as error:  # a fault of ours that this document shows: it alone waits
            log.exception("a document could not be indexed")
            indexing.fail(case.id, UnreadableDocument(f"met an error of ours ({_name(error)})"))

    def _parse(self, case: _Case, path: Path, attributes: Attributes) -> ParsedDocument:
        parsed = self._parts.parse(path, case.id, attributes)
        case.title = parsed.title
        return parsed

    async def _has_changed(self, case: _Case) -> bool:
        key = self._parts.layout.key(case.place)
        try:
            found = await self._retry(lambda: self._parts.bucket.head(key))
        except DependencyError:
            return True
        return found is None or case.object is None or found.version != case.object.version

    async def _lift(self, cases: Sequence[_Case]) -> set[str]:
        """Says that these documents may be shown (again); returns their ids, or none."""
        ids = [case.id for case in cases]
        try:
            if ids:
                await self._retry(
                    lambda: self._parts.ingest.changes.changing(self._namespace, added=ids)
                )
        except DependencyError:
            return set()
        return set(ids)

    async def _conclude(
        self, case: _Case, indexing: Indexing, lifted: set[str], stopped: Exception | None
    ) -> bool:
        """Writes down what became of a document; returns whether to look at it again."""
        failure = indexing.failures.get(case.id)
        if case.removed:
            await self._settle(case, Outcome("deleted"))
        elif case.known:
            await self._settle(case, self._as_before(case))
        elif case.id in lifted:
            await self._settle(case, self._of_object(case, indexing.done[case.id]))
        elif isinstance(failure, UnreadableDocument | Rejected):
            outcome = self._of_object(case, case.entry.chunks)
            await self._settle(case, replace(outcome, status="failed", reason=str(failure)))
        elif case.id in indexing.done or isinstance(failure, _Vanished):
            return True
        else:
            await self._leave(case, later(failure or stopped))
        return False

    def _as_before(self, case: _Case) -> Outcome:
        entry = case.entry
        outcome = self._of_object(case, entry.chunks)
        return replace(outcome, status=entry.status, reason=entry.reason)

    def _of_object(self, case: _Case, chunks: int) -> Outcome:
        found = case.object
        if found is None:
            return Outcome("indexed", recipe=self._parts.recipe, chunks=chunks)
        return Outcome(
            "indexed",
            version=found.version,
            stamp=found.stamp,
            recipe=self._parts.recipe,
            origin=self._origin(case),
            title=case.title or case.entry.title,
            size_bytes=found.size_bytes,
            chunks=chunks,
        )

    async def _settle(self, case: _Case, outcome: Outcome) -> None:
        sequencer = newest([case.entry.sequencer, case.wanted.sequencer])
        outcome = replace(outcome, sequencer=sequencer)
        await self._retry(
            lambda: self._parts.ledger.settle(
                case.place, owner=self._owner, mark=case.entry.mark, outcome=outcome
            )
        )
        known = case.known or (case.removed and case.entry.status == "deleted")
        self._results[case.place] = (
            Unreadable(outcome.reason or "")
            if outcome.status == "failed" and not known
            else Settled(outcome.status, outcome.chunks, known)
        )

    async def _leave(self, case: _Case, result: Later) -> None:
        """Gives the lease back, if the ledger can be reached; else it runs out."""
        self._results[case.place] = result
        with suppress(DependencyError):
            await self._parts.ledger.release(case.place, owner=self._owner, reason=result.reason)

    async def _reread(self, case: _Case) -> bool:
        """Takes up what the ledger says by now; whether the case goes on."""
        try:
            entry = await self._retry(lambda: self._parts.ledger.look_up(case.place))
        except DependencyError as error:
            await self._leave(case, later(error))
            return False
        case.entry = replace(entry, attempts=case.entry.attempts) if entry else case.entry
        case.object, case.known, case.removed = None, False, False
        return True

    def _origin(self, case: _Case) -> str:
        return origin(self._parts.bucket.name, self._parts.layout.key(case.place))


class _TombsStand:
    """`Changes` that lift no tombstone."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def changing(
        self, namespace: str, *, deleted: Iterable[str] = (), added: Iterable[str] = ()
    ) -> None:
        await self._changes.changing(namespace, deleted=deleted)

    async def changed(self, namespace: str) -> None:
        await self._changes.changed(namespace)


def _name(error: Exception) -> str:
    return type(error).__name__
