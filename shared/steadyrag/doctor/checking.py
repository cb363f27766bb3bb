"""Checks and what they find, run all at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from steadyrag.domain.errors import ConfigError, DependencyError

TIMEOUT_S = 10.0
"""Of one check."""

type Status = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`fail` is what would break a deployment. `do` says what to do next, where there is
    something to do. Neither text ever holds a secret."""

    status: Status
    said: str
    do: str = ""


type Findings = Finding | Sequence[Finding]


def ok(said: str) -> Finding:
    return Finding("ok", said)


def warn(said: str, *, do: str) -> Finding:
    return Finding("warn", said, do)


def fail(said: str, *, do: str) -> Finding:
    return Finding("fail", said, do)


def skip(why: str) -> Finding:
    return Finding("skip", why)


def lost(error: DependencyError) -> Finding:
    """What is said of a dependency that lets a check down."""
    return fail(
        str(error),
        do="see that it can be reached from here, then run this again",
    )


@dataclass(frozen=True, slots=True)
class Check:
    """`look` may raise whatever it likes. `lost` words a `DependencyError` of it."""

    name: str
    look: Callable[[], Awaitable[Findings]]
    lost: Callable[[DependencyError], Finding] = lost


@dataclass(frozen=True, slots=True)
class Examined:
    """At least one finding."""

    check: str
    findings: Sequence[Finding]
    took_ms: float


async def examine(
    checks: Sequence[Check],
    *,
    timeout_s: float = TIMEOUT_S,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Examined]:
    """Looks at everything at once, each under its own timeout; never raises for what a check
    does. `advance` is told how many are done, of how many."""
    done = 0

    async def one(check: Check) -> Examined:
        nonlocal done
        started = time.perf_counter()
        findings = await _found(check, timeout_s)
        done += 1
        advance(done, len(checks))
        return Examined(check.name, findings, (time.perf_counter() - started) * 1000)

    return list(await asyncio.gather(*map(one, checks)))


def healthy(examined: Sequence[Examined]) -> bool:
    """Whether nothing would break; warnings don't count."""
    return all(finding.status != "fail" for one in examined for finding in one.findings)


async def _found(check: Check, timeout_s: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(timeout_s):
            found = await check.look()
    except TimeoutError:
        return [
            fail(
                f"no answer within {timeout_s:g} s",
                do="see that it can be reached from here, then run this again",
            )
        ]
    except DependencyError as error:
        return [check.lost(error)]
    except ConfigError as error:
        return [fail(str(error), do="change the setting that it names")]
    except Exception as error:  # its text may hold anything
        return [
            fail(
                f"the check broke: {type(error).__name__}",
                do="this is a bug of the doctor; look at the thing itself meanwhile",
            )
        ]
    return [found] if isinstance(found, Finding) else found
