"""Readiness: every dependency asked at once, each under its own timeout."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ports import IndexStatus

PROBE_TIMEOUT_S = 2.0

type Probe = Callable[[], Awaitable[IndexStatus | None]]
type Probes = Mapping[str, Probe]
"""By dependency name; `index` decides whether the service can answer at all."""


@dataclass(frozen=True, slots=True)
class Check:
    """One dependency's state. `empty` is an index that answers and holds nothing."""

    status: Literal["ok", "empty", "failed"]
    latency_ms: float
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """`failed` when the index can't be reached, `degraded` when anything else is wrong."""

    status: Literal["ok", "degraded", "failed"]
    checks: Mapping[str, Check]


async def check(probes: Probes, *, timeout_s: float = PROBE_TIMEOUT_S) -> Health:
    """Asks every dependency; never raises and takes little more than `timeout_s`."""
    results = await asyncio.gather(*(_ask(probe, timeout_s) for probe in probes.values()))
    checks = dict(zip(probes, results, strict=True))
    index = checks.get("index")
    if index is None or index.status == "failed":
        return Health("failed", checks)
    all_well = all(result.status == "ok" for result in checks.values())
    return Health("ok" if all_well else "degraded", checks)


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
