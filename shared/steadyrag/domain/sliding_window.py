"""A sliding window in two counters: the arithmetic every limiter here shares.

The window's count is the last bucket's, weighted by how much of it the window still covers,
plus this bucket's. It assumes that the last bucket's requests were spread evenly.
https://blog.cloudflare.com/counting-things-a-lot-of-different-things
"""

import math
from dataclasses import dataclass

from steadyrag.domain.ports import Allowance

ROUNDING = 1e-6
"""So that a request at the very moment it was told to come is not one bit too early."""


@dataclass(frozen=True, slots=True)
class Window:
    """Requests counted in the bucket numbered `bucket`, and in the one before it."""

    bucket: int
    count: int = 0
    previous: int = 0


def current_window(held: Window | None, *, now_s: float, window_s: int) -> Window:
    """What is held, moved on to `now_s`.

    A clock that is a bucket behind the one that counted last stays in that bucket; one that
    is further off starts anew, so that a wrong clock can't lock a caller out for long.
    """
    bucket = math.floor(now_s / window_s)
    if held is None:
        return Window(bucket)
    if held.bucket in (bucket, bucket + 1):
        return held
    return Window(bucket, previous=held.count if held.bucket == bucket - 1 else 0)


def room(window: Window, *, limit: int, now_s: float, window_s: int) -> int:
    """How many requests this bucket may count in all, at this moment."""
    elapsed = max(0.0, now_s / window_s - window.bucket)
    return math.floor(limit - window.previous * (1 - elapsed) + ROUNDING)


def take(
    held: Window | None, *, limit: int, now_s: float, window_s: int
) -> tuple[Window, Allowance]:
    """Counts one request if it is allowed: the window to hold from now on, and the verdict."""
    window = current_window(held, now_s=now_s, window_s=window_s)
    allowed = window.count < room(window, limit=limit, now_s=now_s, window_s=window_s)
    if allowed:
        window = Window(window.bucket, window.count + 1, window.previous)
    return window, verdict(window, allowed=allowed, limit=limit, now_s=now_s, window_s=window_s)


def verdict(window: Window, *, allowed: bool, limit: int, now_s: float, window_s: int) -> Allowance:
    """What to tell a caller whose request left the window like this."""
    left = room(window, limit=limit, now_s=now_s, window_s=window_s) - window.count
    if left > 0:
        return Allowance(allowed, limit, left, 0.0)
    start_s = window.bucket * window_s
    if window.count < limit:
        free = 1 - (limit - window.count - 1) / window.previous
    else:
        free = 2 - max(0, limit - 1) / max(1, window.count)
    return Allowance(allowed, limit, 0, max(0.0, start_s + free * window_s - now_s))
