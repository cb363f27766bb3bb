"""A day of the service to show on its dashboard: people at work, and an index that fails at two.

The service runs over fakes in virtual time, as in the drills; see tests/drills. This has to be
imported before the service is, for the service to live in that time.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drills.stack import START, UNSEEN_MINUTES, Stack, lived  # first: it puts virtual time in place
from infra.cloudformation import ROOT
from steadyrag.domain.errors import Unavailable
from steadyrag.monitoring.alarms import Transition
from steadyrag.monitoring.series import Series
from steadyrag.monitoring.template import read_alarms
from steadyrag.telemetry import catalogue, metrics

HOURS = 18
"""What is simulated, from midnight; the picture begins at `SHOWN_FROM`."""

SHOWN_FROM = 6
SLOW_MIN, LOST_MIN, MENDED_MIN = 14 * 60, 14 * 60 + 20, 14 * 60 + 50
"""Minutes of the day: the index answers late, then not at all, then again."""

PEAK = 25
"""Searches in a minute, before and after lunch."""

SAID: Mapping[str, float] = {"click": 0.3, "good": 0.06, "bad": 0.01, "comment": 0.005}
"""Share of answers that callers say something of."""


@dataclass(frozen=True, slots=True)
class Day:
    series: Series
    transitions: Sequence[Transition]
    start: float = START + SHOWN_FROM * 3600
    end: float = START + HOURS * 3600
    trouble: tuple[float, float] = (START + SLOW_MIN * 60, START + MENDED_MIN * 60)


def simulated(seed: int = 1) -> Day:
    alarms = read_alarms(ROOT / "template.yaml")
    return lived(_live, alarms, seed=seed)


async def _live(stack: Stack) -> Day:
    await stack.begin(0)
    for minute in range(UNSEEN_MINUTES, HOURS * 60):
        await _happens(stack, minute)
        asked = _poisson(stack, _rate(minute))
        _is_said(stack, asked)
        await stack.minute(asked)
    return Day(stack.series, tuple(stack.watch.transitions))


async def _happens(stack: Stack, minute: int) -> None:
    if minute == SLOW_MIN:
        stack.asks.slowed.factors["vector_search"] = 25
    if minute == LOST_MIN:
        for call in ("vector_search", "keyword_search", "status"):
            stack.asks.index.fail(Unavailable("index", "503"), on=call)
    if minute == MENDED_MIN:
        await stack.mend()
    if minute % 40 == 20 and 8 * 60 < minute < 18 * 60:
        await stack.ingesting.change(f"memo-{minute}", f"Memo of minute {minute}.")


def _is_said(stack: Stack, asked: int) -> None:
    for verdict, share in SAID.items():
        if times := sum(stack.rng.random() < share for _ in range(asked)):
            metrics.count(catalogue.FEEDBACK, times, verdict=verdict)


def _rate(minute: int) -> float:
    hour = minute / 60
    bumps = math.exp(-(((hour - 11) / 2.4) ** 2)) + math.exp(-(((hour - 15.5) / 2.6) ** 2))
    return PEAK * min(1.0, bumps) + 0.4


def _poisson(stack: Stack, mean: float) -> int:
    count, left = 0, stack.rng.expovariate(1)
    while left < mean:
        count += 1
        left += stack.rng.expovariate(1)
    return count
