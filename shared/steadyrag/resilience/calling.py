"""One call of a dependency: behind its circuit, tried once more where that may help."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

from steadyrag.resilience.breakers import Breakers
from steadyrag.resilience.deadline import remaining_s
from steadyrag.resilience.retry import once_more
from steadyrag.telemetry import metrics, spans

_SECOND_TRY = 0.25
"""Share of the time given that must be left for trying again to be worth it."""

_ENDS_BEFORE_ITS_CALLERS_S = 0.05


async def call_dependency[T](
    breakers: Breakers,
    dependency: str,
    call: Callable[[], Awaitable[T]],
    *,
    fair_s: float,
    failed_within_s: float = math.inf,
    shared: bool = False,
) -> T:
    """The call's result within the deadline, or its error; `TimeoutError` when it takes longer.

    A time-out counts against the dependency where the call had `fair_s` at least. The second
    try comes only if the first failed within `failed_within_s`. `shared` is a call that
    several callers wait for: it ends a little before their deadlines, since one that nobody
    waits for any more is cancelled, and that tells nothing of the dependency.
    """

    def timeout_s() -> float | None:
        left_s = remaining_s()
        if math.isinf(left_s):
            return None
        return left_s - min(_ENDS_BEFORE_ITS_CALLERS_S, left_s / 10) if shared else left_s

    attempts = 0

    def attempt() -> Awaitable[T]:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            spans.note(attempts=attempts)
            metrics.on_retry(dependency)
        return breakers.guard(dependency, call, timeout_s=timeout_s(), fair_s=fair_s)

    return await once_more(
        attempt,
        cost_estimate_s=_SECOND_TRY * remaining_s(),
        failed_within_s=failed_within_s,
    )
