"""Readiness: every dependency asked at once, each under its own timeout, and not too often."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ports import IndexStatus
from steadyrag.resilience.breaker import State

log = logging.getLogger(__name__)

PROBE_TIMEOUT_S = 2.0
KEEP_S = 5.0
"""How long a result is shown again: asking costs vendor calls, and anyone may ask often."""

type Probe = Callable[[], Awaitable[IndexStatus | None]]
type Probes = Mapping[str, Probe]
"""By dependency name; `index` decides whether the service can answer at all."""

type States = Mapping[str, State]
type BreakerStates = Callable[[], States | Awaitable[States]]
"""Where the circuit breakers stand, by dependency; from memory, or from a shared store."""


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency's state. `empty` is an index that answers and holds nothing."""

    status: Literal["ok", "empty", "failed"]
    latency_ms: float
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """`failed` when the index can't be reached, `degraded` when anything else is wrong, an
    open breaker included: then requests go without what it guards."""

    status: Literal["ok", "degraded", "failed"]
    checks: Mapping[str, Check]
    breakers: States = field(default_factory=dict)


class Readiness:
    """What `probes` find. A result is good for `keep_s` by the wall clock, and probes that
    are wanted at the same time are made once."""

    def __init__(
        self,
        probes: Probes,
        *,
        breakers: BreakerStates = dict,
        timeout_s: float = PROBE_TIMEOUT_S,
        keep_s: float = KEEP_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._probes = probes
        self._breakers = breakers
        self._timeout_s = timeout_s
        self._keep_s = keep_s
        self._clock = clock
        self._asking = asyncio.Lock()
        self._kept: tuple[float, Health] | None = None

    async def check(self) -> Health:
        """Never raises, and takes little more than `timeout_s`."""
        async with self._asking:
            if self._kept is None or not 0 <= self._clock() - self._kept[0] < self._keep_s:
                self._kept = self._clock(), await self._ask_all()
            return self._kept[1]

    async def _ask_all(self) -> Health:
        asked = asyncio.gather(*(_ask(probe, self._timeout_s) for probe in self._probes.values()))
        states, results = await asyncio.gather(_states(self._breakers, self._timeout_s), asked)
        checks = dict(zip(self._probes, results, strict=True))
        for name, check in checks.items():
            if check.status == "failed":
                log.warning("not ready", extra={"dependency": name, "reason": check.detail})
        return Health(_status(checks, states), checks, states)


def _status(checks: Mapping[str, Check], states: States) -> Literal["ok", "degraded", "failed"]:
    index = checks.get("index")
    if index is None or index.status == "failed":
        return "failed"
    all_ok = all(check.status == "ok" for check in checks.values())
    return "ok" if all_ok and "open" not in states.values() else "degraded"


async def _states(breakers: BreakerStates, timeout_s: float) -> States:
    """Nothing where the breakers can't be read: the store that holds them has a probe."""
    try:
        async with asyncio.timeout(timeout_s):
            said = breakers()
            return dict(await said if inspect.isawaitable(said) else said)
    except Exception as error:
        log.warning("breakers unknown", extra={"reason": type(error).__name__})
        return {}


async def _ask(probe: Probe, timeout_s: float) -> Check:
    started = time.perf_counter()

    def done(status: Literal["ok", "empty", "failed"], detail: str | None = None) -> Check:
        return Check(status, round((time.perf_counter() - started) * 1000, 2), detail)

    try:
        async with asyncio.timeout(timeout_s):
            said = await probe()
    except TimeoutError:
        return done("failed", f"no answer within {timeout_s:g} s")
    except DependencyError as error:
        return done("failed", error.problem)
    except Exception as error:  # a probe that breaks says so; it never breaks the page
        return done("failed", type(error).__name__)
    if said is None:
        return done("ok")
    if said.chunks == 0:
        return done("empty", said.detail or None)
    return done("ok" if said.ready else "failed", said.detail or None)
