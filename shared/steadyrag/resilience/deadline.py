"""One deadline per request, carried in a context variable.

Every stage takes a slice of what is left, so nothing on the request path can outlive it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

type Clock = Callable[[], float]

_ends_at: ContextVar[tuple[float, Clock] | None] = ContextVar("deadline", default=None)


@contextmanager
def deadline(seconds: float, clock: Clock = time.monotonic) -> Iterator[None]:
    """Everything inside must be done in `seconds`. A nested deadline can only be earlier."""
    ends_at = clock() + seconds
    outer = _ends_at.get()
    token = _ends_at.set((min(ends_at, outer[0]) if outer else ends_at, clock))
    try:
        yield
    finally:
        _ends_at.reset(token)


def remaining_s() -> float:
    """Seconds left, never negative; infinite outside a deadline."""
    current = _ends_at.get()
    if current is None:
        return float("inf")
    ends_at, clock = current
    return max(0.0, ends_at - clock())
