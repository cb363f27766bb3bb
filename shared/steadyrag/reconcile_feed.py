"""Objects of a bucket into an `Indexing`: fetched to files, read, taken."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path

from steadyrag.domain.documents import FoundDocument, ParsedDocument, UnreadableDocument
from steadyrag.domain.errors import DependencyError, Refused, SteadyragError, Unavailable
from steadyrag.domain.ledger import Fetched
from steadyrag.domain.objects import Attributes, origin
from steadyrag.indexing import Hopeless, Indexing
from steadyrag.reconcile_case import Case
from steadyrag.reconcile_parts import ReconcileParts

log = logging.getLogger(__name__)

SMALL_BYTES = 1_000_000
"""Objects up to this size share embedding calls. What they make is written before a larger
one, which may take all the time there is, gets its turn."""

_FOLDER = "steadyrag-fetched-"
_LOST_IN_A_ROW = 3


class Vanished(SteadyragError):
    """The object was there, and is not any more."""


class Feed:
    """`run` once. No further object is begun with after `taking_until`, by the parts' clock.
    `fetching` tells whether it waits for the bucket, or did when the run ended."""

    def __init__(self, parts: ReconcileParts, indexing: Indexing, *, taking_until: float) -> None:
        self._parts = parts
        self._indexing = indexing
        self._taking_until = taking_until
        self._lost = 0
        self._down: DependencyError | None = None
        self.fetching = False

    async def run(self, cases: Sequence[Case]) -> None:
        """The smallest first. Objects that the bucket does not hand out have an `error`, as have
        all when it is down. Raises `Hopeless`, and `Unavailable` when there is no room."""
        ordered = sorted(cases, key=_size)
        small = [case for case in ordered if _size(case) <= SMALL_BYTES]
        groups = [small, *([case] for case in ordered if _size(case) > SMALL_BYTES)]
        try:
            folder = tempfile.TemporaryDirectory(
                prefix=f"{_FOLDER}{os.getpid()}-", ignore_cleanup_errors=True
            )
        except OSError as error:
            raise Unavailable("disk", f"has no room ({error.strerror})") from error
        with folder as path:
            for group in groups:
                async with aclosing(self._fetched(group, Path(path))) as fetched:
                    async for case, content, file in fetched:
                        await self._take(case, content, file)
                await self._indexing.finish()

    async def _fetched(
        self, cases: Sequence[Case], folder: Path
    ) -> AsyncGenerator[tuple[Case, Fetched, Path]]:
        """Contents in files, the next one fetched while one is worked on."""
        files = [folder / "0", folder / "1"]
        ahead: asyncio.Task[Fetched | None] | None = None
        try:
            for number, case in enumerate(cases):
                if number and self._parts.clock() >= self._taking_until:
                    return
                if self._down is not None:
                    case.error = self._down
                    continue
                path = files[number % 2]
                fetch, ahead = ahead or self._fetch(case, path), None
                self.fetching = True
                content = await self._content(case, fetch)
                self.fetching = False
                if number + 1 < len(cases):
                    ahead = self._fetch(cases[number + 1], files[1 - number % 2])
                if content is not None:
                    yield case, content, path
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    def _fetch(self, case: Case, path: Path) -> asyncio.Task[Fetched | None]:
        async def fetch() -> Fetched | None:
            most = self._parts.largest_bytes
            if _size(case) > most:
                raise UnreadableDocument(
                    f"is {_size(case) / 1e6:,.1f} MB; at most {most / 1e6:,.0f} MB are read"
                )
            key = self._parts.layout.key(case.place)
            return await self._parts.ingest.retry(lambda: self._parts.bucket.fetch(key, str(path)))

        return asyncio.create_task(fetch())

    async def _content(self, case: Case, fetch: asyncio.Task[Fetched | None]) -> Fetched | None:
        """None where there is nothing to take, and the case or the indexing says why."""
        try:
            content = await fetch
        except UnreadableDocument as problem:
            self._indexing.fail(case.id, problem)
            return None
        except DependencyError as error:
            case.error = error
            if not isinstance(error, Refused):  # which says nothing about the next object
                self._lost += 1
                self._down = error if self._lost >= _LOST_IN_A_ROW else None
            return None
        except OSError as error:
            raise Unavailable("disk", f"has no room ({error.strerror})") from error
        self._lost = 0
        case.read = True
        if content is None:
            self._indexing.fail(case.id, Vanished("went while it was fetched"))
        return content

    async def _take(self, case: Case, content: Fetched, path: Path) -> None:
        case.object = content.object
        attributes = content.object.attributes or Attributes()
        said = json.dumps(asdict(attributes), sort_keys=True)
        shape = f"{self._parts.parser}\0{said}\0{content.sha256}"
        document = FoundDocument(
            document_id=case.id,
            origin=origin(self._parts.bucket.name, self._parts.layout.key(case.place)),
            digest=sha256(shape.encode()).hexdigest(),
            parse=partial(self._parse, case, path, attributes),
        )
        try:
            await self._indexing.take(document, case.entry.record)
        except (Hopeless, DependencyError):
            raise
        except OSError as error:
            raise Unavailable("disk", f"can't be read ({error.strerror})") from error
        except Exception as error:
            if self._indexing.reading != case.id:
                raise
            log.exception("a document could not be indexed")
            why = f"met an error of ours ({type(error).__name__})"
            self._indexing.fail(case.id, UnreadableDocument(why))

    def _parse(self, case: Case, path: Path, attributes: Attributes) -> ParsedDocument:
        parsed = self._parts.parse(path, case.id, attributes)
        case.title = parsed.title
        return parsed


def remove_leftovers() -> None:
    """Removes what a process that was killed has left in the temporary folder: one of this
    process's number, which is new, or of one that is gone."""
    for path in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        pid = path.name.removeprefix(_FOLDER).partition("-")[0]
        if pid.isdecimal() and (int(pid) == os.getpid() or not _lives(int(pid))):
            shutil.rmtree(path, ignore_errors=True)


def _lives(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def _size(case: Case) -> int:
    return case.object.size_bytes if case.object else 0
