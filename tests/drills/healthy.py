"""Two days in which nothing is wrong that anybody should be told of."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from drills.stack import UNSEEN_MINUTES, Stack, lived
from steadyrag.domain.errors import Unavailable
from steadyrag.monitoring.definitions import Alarm

HOURS = 48
PEAK, RUSH = 8, 45
"""Searches in a minute before and after lunch, and in one hour of the second day, when there are
enough for a p99."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """What two healthy days brought. `fired` names the alarms that should have kept quiet, and
    `insufficient` those that at times had nothing to say."""

    hours: int
    requests: int
    fired: Sequence[str]
    insufficient: Sequence[str]
    readings_differ: Sequence[str]


def two_days(alarms: Sequence[Alarm], *, hours: int = HOURS, seed: int = 1) -> Quiet:
    return lived(lambda stack: _live(stack, hours), alarms, seed=seed)


async def _live(stack: Stack, hours: int) -> Quiet:
    await stack.begin(0)
    seen: set[str] = set()
    for minute in range(UNSEEN_MINUTES, hours * 60):
        await _small_things(stack, minute)
        states = await stack.minute(_poisson(stack, _rate(minute)))
        seen |= {name for name, state in states.items() if state == "INSUFFICIENT_DATA"}
    fired = {one.name for one in stack.watch.transitions if one.new == "ALARM"}
    return Quiet(hours, stack.asked, sorted(fired), sorted(seen), sorted(stack.readings_differ))


def _rate(minute: int) -> float:
    """Nobody between midnight and six; then as people work, with lunch in between."""
    hour = minute / 60 % 24
    if hour < 6:
        return 0.0
    bumps = math.exp(-(((hour - 11.5) / 2.2) ** 2)) + math.exp(-(((hour - 16) / 2.2) ** 2))
    return RUSH if minute // 60 == 24 + 11 else PEAK * min(1.0, bumps) + 0.3


def _poisson(stack: Stack, mean: float) -> int:
    count, left = 0, stack.rng.expovariate(1)
    while left < mean:
        count += 1
        left += stack.rng.expovariate(1)
    return count


async def _small_things(stack: Stack, minute: int) -> None:
    """What happens to every service: releases, and single failures that mean nothing."""
    hour, at = divmod(minute, 60)
    if at == 20 and hour in (10, 15, 34):
        stack.release()  # and the next request finds a cold environment
    if at % 15 == 0 and 8 <= hour % 24 < 18:
        stack.documents_crash = (hour, at) == (14, 15)  # a lone one
        await stack.look_up()
        stack.documents_crash = False
    stack.scheduled.crashes = {"quality"} if hour == 29 else set()  # a run that times out
    if at == 40 and hour % 24 in (8, 12, 17):
        await stack.ingesting.change(f"memo-{minute}", f"Memo of minute {minute}.")
    if (hour, at) in ((9, 5), (14, 45), (38, 30)):
        stack.crash_next = True  # a lone 5xx
    if (hour, at) == (27, 10):  # at night, when it is all there is
        stack.crash_next = True
        stack.come.append(("lost at night", "user-night"))
    if (hour, at) in ((11, 15), (36, 50)):  # asked twice, lost twice
        stack.asks.reranker.fail(Unavailable("reranker", "503"), times=2)
    if (hour, at) == (13, 30):
        stack.asks.generator.fail(Unavailable("llm", "503"), times=2)
    if (hour, at) == (16, 10):  # one user too eager: a 429
        stack.come += [("backups rules", "user-eager")] * 12
