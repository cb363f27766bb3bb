"""Records in dictionaries."""

import time
from collections.abc import Callable, Sequence

from fakes.trouble import Trouble
from steadyrag.domain.feedback import with_feedback
from steadyrag.domain.records import Feedback, Recorded, SearchRecord

MOST = 10_000
OLDEST_S = 90 * 86_400.0


class InMemoryRecords(Trouble):
    """Keeps the promises of `RecordStore` with the clock it is given.

    `InMemoryRecords(beside=records)` is what another process sees of the same records: it has
    failures and call counts of its own.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        most: int = MOST,
        beside: "InMemoryRecords | None" = None,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._most = most
        self._searches: dict[str, SearchRecord] = beside._searches if beside else {}
        self._said: dict[str, tuple[Feedback, ...]] = beside._said if beside else {}

    async def add_search(self, record: SearchRecord) -> None:
        await self._called("add_search")
        self._searches[record.search_id] = record
        self._forget()

    async def add_feedback(self, feedback: Feedback) -> None:
        await self._called("add_feedback")
        held = self._said.pop(feedback.search_id, ())
        self._said[feedback.search_id] = with_feedback(held, feedback)
        self._forget()

    async def recent(self, limit: int = 50, *, failed: bool | None = None) -> Sequence[Recorded]:
        await self._called("recent")
        self._forget()
        newest = sorted(self._searches.values(), key=lambda one: one.at)[::-1]
        chosen = [one for one in newest if failed is None or one.failed is failed]
        return [Recorded(one, self._said.get(one.search_id, ())) for one in chosen[:limit]]

    async def get(self, search_id: str) -> Recorded | None:
        await self._called("get")
        self._forget()
        found = self._searches.get(search_id)
        return Recorded(found, self._said.get(search_id, ())) if found else None

    def _forget(self) -> None:
        oldest = self._clock() - OLDEST_S
        for held, at in (
            (self._searches, {name: one.at for name, one in self._searches.items()}),
            (self._said, {name: said[-1].at for name, said in self._said.items()}),
        ):
            newest = sorted(at, key=lambda name: at[name])[::-1]
            for name in newest[self._most :] + [name for name in newest if at[name] < oldest]:
                held.pop(name, None)
