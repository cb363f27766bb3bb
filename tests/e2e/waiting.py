"""Waits for what happens in its own time."""

import time
from collections.abc import Callable

STEP_S = 0.25


def until[T](look: Callable[[], T], holds: Callable[[T], bool], *, within_s: float = 30.0) -> T:
    """What `look` sees once it `holds`; fails with what it saw last."""
    ends = time.monotonic() + within_s
    while True:
        seen = look()
        if holds(seen):
            return seen
        if time.monotonic() >= ends:
            raise AssertionError(f"not within {within_s:g} s; seen last: {seen!r}")
        time.sleep(STEP_S)
