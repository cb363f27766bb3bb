"""A circuit breaker: after failures in a row, refuse for a while instead of calling.

    closed ── 5 failures in a row ──► open ── 60 s later ──► half open: one probe
       ▲                               ▲                          │
       │                               └─────── it failed ────────┤
       └────────────────────────────── it was answered ───────────┘

Timeouts, `Unavailable` and `Throttled` count. `Refused` does not: the dependency is up and
will go on refusing until somebody acts, which is a signal of its own. `Rejected` is an answer
to one bad request. A caller's mistake, a cancelled call and a bug in our code say nothing
about the dependency.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Literal

from steadyrag.domain.errors import Refused, Rejected, Throttled, Unavailable

log = logging.getLogger(__name__)

type Clock = Callable[[], float]
type State = Literal["closed", "open", "half_open"]
type OnTransition = Callable[[str, State], None]
"""Called with the dependency's name and the state it is in from now on."""


BUSY_S = 0.1
"""How late a time-out comes on a loop that had no time for it."""


def ignore_transition(name: str, state: State) -> None:
    """For those who do not want to know."""


def ignore_refusal(name: str) -> None:
    """For those who do not want to know."""


class CircuitOpen(Unavailable):
    """Not called, because the last calls failed. Asking again at once is no use."""

    retryable = False

    def __init__(self, dependency: str) -> None:
        super().__init__(dependency, "circuit open, not called")


class Verdict(Enum):
    """What a call tells of its dependency."""

    WELL = "well"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


def verdict(error: BaseException | None, *, fair: bool = True) -> Verdict:
    """What the outcome of a call tells of the dependency. `fair` says whether the call had
    the time it needs: running out of less is nobody's fault."""
    if error is None or isinstance(error, Rejected):
        return Verdict.WELL
    if isinstance(error, TimeoutError):
        return Verdict.FAILED if fair else Verdict.UNKNOWN
    if isinstance(error, Unavailable | Throttled):
        return Verdict.FAILED
    return Verdict.REFUSED if isinstance(error, Refused) else Verdict.UNKNOWN


class LocalBreaker:
    """One process's breaker, for what can't share its state: a shared store, say.

    `guard` does it all; `allow` with exactly one of `success`, `failure` and `abandon` after
    it is the same in pieces. Expiry is by wall-clock time, so that a frozen environment wakes
    up to the right state. Failures further apart than `stale_s` are not in a row. A probe
    that is not heard of for `probe_s` makes room for another.
    """

    def __init__(
        self,
        name: str,
        *,
        clock: Clock = time.time,
        failures: int = 5,
        open_s: float = 60.0,
        probe_s: float = 10.0,
        stale_s: float = 600.0,
        on_transition: OnTransition = ignore_transition,
        on_refused: Callable[[str], None] = ignore_refusal,
    ) -> None:
        self.name = name
        self._clock = clock
        self._limit = failures
        self._open_s = open_s
        self._probe_s = probe_s
        self._stale_s = stale_s
        self._on_transition = on_transition
        self._on_refused = on_refused
        self._failures = 0
        self._last_failure_at = float("-inf")
        self._opened_at: float | None = None
        self._probing_until: float | None = None

    @property
    def state(self) -> State:
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._clock() >= self._opened_at + self._open_s else "open"

    def allow(self) -> bool:
        """Whether to call now. While half open the first to ask gets to probe."""
        state = self.state
        if state == "half_open":
            now = self._clock()
            if self._probing_until is not None and now < self._probing_until:
                return False
            self._probing_until = now + self._probe_s
            self._on_transition(self.name, "half_open")
            return True
        return state == "closed"

    def success(self) -> None:
        """The call was answered. While open this is news from before and changes nothing."""
        if self.state == "open":
            return
        was_open = self._opened_at is not None
        self._failures, self._opened_at, self._probing_until = 0, None, None
        if was_open:
            log.info("circuit closed", extra={"dependency": self.name, "shared": False})
            self._on_transition(self.name, "closed")

    def failure(self) -> None:
        now, state = self._clock(), self.state
        if state == "open":
            return
        fresh = now - self._last_failure_at <= self._stale_s
        self._failures = self._failures + 1 if fresh else 1
        self._last_failure_at = now
        if state == "half_open" or self._failures >= self._limit:
            self._opened_at, self._probing_until = now, None
            log.warning("circuit opened", extra={"dependency": self.name, "shared": False})
            self._on_transition(self.name, "open")

    def abandon(self) -> None:
        """The call told nothing: a probe makes room for the next one."""
        self._probing_until = None

    async def guard[T](
        self,
        call: Callable[[], Awaitable[T]],
        *,
        timeout_s: float | None = None,
        fair_s: float = 0.0,
    ) -> T:
        """The call's result, or its error; `CircuitOpen` without calling while open.

        A time-out counts where `timeout_s` is at least `fair_s`. One that comes late says that
        this process was busy, and nothing of whom it asked: the answer may have been there.
        """
        if not self.allow():
            raise CircuitOpen(self.name)
        due = math.inf if timeout_s is None else time.monotonic() + timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                result = await call()
        except BaseException as error:
            fair = timeout_s is None or timeout_s >= fair_s
            self._heard(verdict(error, fair=fair and time.monotonic() < due + BUSY_S))
            raise
        self._heard(Verdict.WELL)
        return result

    def _heard(self, outcome: Verdict) -> None:
        if outcome is Verdict.REFUSED:
            self._on_refused(self.name)
        match outcome:
            case Verdict.WELL | Verdict.REFUSED:
                self.success()
            case Verdict.FAILED:
                self.failure()
            case Verdict.UNKNOWN:
                self.abandon()
