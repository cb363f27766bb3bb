"""How long a message waits that is sent again: longer each time that something is down still."""

from __future__ import annotations

from collections.abc import Mapping

from steadyrag.reconcile_parts import Later

POSTPONED = "postponed"
"""Attribute of a message that was sent again: how often."""

LONGEST_DELAY_S = 900
"""That a queue takes."""

_FIRST_DELAY_S = 5.0
_LONGEST_PAUSE_S = 60.0


def times_postponed(attributes: Mapping[str, str]) -> int:
    try:
        return max(0, int(attributes.get(POSTPONED, "0")))
    except ValueError:
        return 0


def grown_s(result: Later, times: int) -> float:
    """What was asked for, or more each time."""
    delay_s = _FIRST_DELAY_S * 2.0 ** min(times, 10) if result.grows else 0.0
    return min(LONGEST_DELAY_S, max(result.delay_s, delay_s))


def pause_s(result: Later, times: int) -> float:
    """For which nobody asks a vendor. What one message has waited says little of the vendor,
    so that only the vendor itself can make it long."""
    return min(LONGEST_DELAY_S, max(result.delay_s, min(_LONGEST_PAUSE_S, grown_s(result, times))))
