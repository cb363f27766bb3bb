"""State that moves on to the next shared store while the nearest does not answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ports import SharedStore

log = logging.getLogger(__name__)


async def nearest[S: SharedStore, T](
    stores: Sequence[S], ask: Callable[[S], Awaitable[T]]
) -> tuple[S, T] | None:
    """The first store that answers, and what it says; None when none does.

    Each has its own time limit and breaker (`GuardedStore`), so one that is down costs next to
    nothing. Environments that see different stores up count apart until they agree again.
    """
    for store in stores:
        try:
            return store, await ask(store)
        except DependencyError as error:
            log.debug("store passed over", extra={"store": store.name, "reason": error.problem})
    return None
