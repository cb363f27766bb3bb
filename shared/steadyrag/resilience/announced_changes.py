"""Changes told to stores that may come and go while documents are taken in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ports import SharedStore
from steadyrag.resilience.corpus_changes import CorpusChanges


class AnnouncedChanges[Place: Hashable]:
    """`Changes` in the stores of one's own place, and of every other that is `announced` now.

    `stores_at` opens a place's stores. A place that has gone by the time it can't be told need
    not know; any other that can't be told stops the change.
    """

    def __init__(
        self,
        own: Place,
        *,
        announced: Callable[[], Sequence[Place]],
        stores_at: Callable[[Place], list[SharedStore]],
    ) -> None:
        self._own = own
        self._announced = announced
        self._stores_at = stores_at
        self._opened: dict[Place, list[SharedStore]] = {}

    async def changing(
        self,
        namespace: str,
        *,
        deleted: Iterable[str] = (),
        added: Iterable[str] = (),
        wanted_gone: Iterable[str] = (),
    ) -> None:
        gone, back, wanted = list(deleted), list(added), list(wanted_gone)
        await self._tell(
            lambda changes: changes.changing(
                namespace, deleted=gone, added=back, wanted_gone=wanted
            )
        )

    async def changed(self, namespace: str) -> None:
        await self._tell(lambda changes: changes.changed(namespace))

    async def _tell(self, tell: Callable[[CorpusChanges], Awaitable[None]]) -> None:
        for place in {self._own, *self._announced()}:
            if place not in self._opened:
                self._opened[place] = self._stores_at(place)
            stores = self._opened[place]
            try:
                await tell(CorpusChanges(stores))
            except DependencyError:
                if place == self._own or place in self._announced():
                    raise
            finally:
                for store in stores:
                    await store.aclose()
