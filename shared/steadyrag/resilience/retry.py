"""One more try, at once, where it may help and time allows.

A connection that was reset and a 5xx are worth it, and so is a Retry-After short enough to
wait for. A 429 without one is not (asking again at once is what it complains of), nor is a
refusal, a time-out (its time is spent) or an open circuit.

Each attempt is a call of its own for the circuit breaker: put the guard inside.

    with deadline(slice_s):
        await once_more(lambda: breakers.guard("embedding", call, …), cost_estimate_s=0.3)
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from steadyrag.domain.errors import DependencyError, Throttled
from steadyrag.resilience import deadline
from steadyrag.resilience.breaker import CircuitOpen
from steadyrag.resilience.deadline import Clock

MAX_WAIT_S = 1.0
"""The longest Retry-After that is waited for. A longer one means: not in this request."""

CHEAP_WITHIN_S = 2.0
"""For a call that is paid for (a generation): one that failed sooner than this was reset or
refused before the work was done. Later, or when an answer came but was useless, the vendor
has most likely charged for it, and the fallback is the better second try."""


async def once_more[T](
    call: Callable[[], Awaitable[T]],
    *,
    cost_estimate_s: float,
    remaining_s: Callable[[], float] = deadline.remaining_s,
    failed_within_s: float = float("inf"),
    clock: Clock = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """The result of the first or the second try.

    There is a second one when `cost_estimate_s`, what a call usually takes, still fits into
    `remaining_s()`, and the first failed within `failed_within_s`. When the first failure
    opened the circuit, the caller sees that failure.
    """
    started = clock()
    try:
        return await call()
    except DependencyError as error:
        wait_s = _wait_s(error)
        if wait_s is None or clock() - started > failed_within_s:
            raise
        if remaining_s() - wait_s < cost_estimate_s:
            raise
        first = error
    if wait_s:
        await sleep(wait_s)
    try:
        return await call()
    except CircuitOpen:
        raise first from None


def _wait_s(error: DependencyError) -> float | None:
    """How long to wait before trying again; None when that is no use."""
    wait_s = error.retry_after_s
    if not error.retryable or (isinstance(error, Throttled) and wait_s is None):
        return None
    return None if wait_s and wait_s > MAX_WAIT_S else max(0.0, wait_s or 0.0)
