"""Searches kept on this machine, for the console."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from steadyrag.domain.errors import DependencyError

if TYPE_CHECKING:
    from steadyrag.domain.ports import RecordStore
    from steadyrag.domain.records import SearchRecord
    from steadyrag.settings import Settings

log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Searches that wait for the disk; more are not kept."""


class LocalRecords:
    """`listen` is for `telemetry.records.subscribe`, `store` for whoever reads. A search never
    waits for the store and never fails with it."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self._adding: set[asyncio.Task[None]] = set()
        self._well = True

    def listen(self, record: SearchRecord) -> None:
        """Takes it and returns at once. Only in a running event loop."""
        if len(self._adding) >= MOST_WAITING:
            self._missed("too many wait")
            return
        adding = asyncio.get_running_loop().create_task(self._add(record))
        self._adding.add(adding)
        adding.add_done_callback(self._adding.discard)

    async def aclose(self) -> None:
        """What was taken is stored first."""
        await asyncio.gather(*self._adding)
        await self.store.aclose()

    async def _add(self, record: SearchRecord) -> None:
        try:
            await self.store.add_search(record)
            self._well = True
        except DependencyError as error:
            self._missed(error.problem)
        except Exception:
            log.exception("search not kept")

    def _missed(self, reason: str) -> None:
        if self._well:  # said once, until it is well again
            log.warning("searches are not kept", extra={"reason": reason})
        self._well = False


def local_records(settings: Settings) -> LocalRecords:
    """In the data directory. No file is opened before the first search or question."""
    from steadyrag.adapters.local.records import SqliteRecords

    return LocalRecords(SqliteRecords(settings.data_dir / "records.sqlite"))
