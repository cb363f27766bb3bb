"""One request's stages: each within its slice, behind its circuit, tried once more where that
may help; how long each took, and which were lost."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.slices import fair_s, slice_s
from steadyrag.resilience.breakers import Breakers
from steadyrag.resilience.calling import call_dependency
from steadyrag.resilience.deadline import Clock, deadline, remaining_s
from steadyrag.resilience.retry import CHEAP_WITHIN_S
from steadyrag.telemetry.spans import span

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Run:
    """Collects timings and losses while stages run, several at a time.

    `deadline_s` is the service's own, whatever this caller asked for. `timings_ms` is by
    stage; `lost` holds the stages that failed, in the order they did.
    """

    clock: Clock = time.perf_counter
    breakers: Breakers = field(default_factory=Breakers)
    deadline_s: float = 25.0
    timings_ms: dict[str, float] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    async def attempt[T](
        self,
        stage: str,
        call: Callable[[], Awaitable[T]],
        *,
        cap_s: float,
        dependency: str | None,
    ) -> T | None:
        """The stage's result, or None when it was lost.

        A stage is lost when its dependency fails or its circuit is open, when it takes longer
        than `cap_s` or its slice of what the deadline leaves, or when an adapter breaks in a
        way nobody foresaw. Callers are told of their own mistakes before any stage runs. A
        `dependency` of None has no circuit, or one of its own.
        """
        started = self.clock()
        try:
            with span(stage), deadline(slice_s(stage, left_s=remaining_s(), cap_s=cap_s)):
                if dependency is None:
                    async with asyncio.timeout(remaining_s()):
                        return await call()
                return await self._guarded(stage, call, dependency, cap_s)
        except TimeoutError:
            self._lose(stage, dependency, "took longer than its share of the deadline")
        except DependencyError as error:
            reason = f"{type(error).__name__}: {error.problem}"
            self._lose(stage, dependency or error.dependency, reason)
        except Exception as error:  # a bug in an adapter costs its stage, not the answer
            log.exception("stage broke", extra={"stage": stage})
            self._lose(stage, dependency, type(error).__name__)
        finally:
            self.timings_ms[stage] = round((self.clock() - started) * 1000, 2)
        return None

    async def _guarded[T](
        self, stage: str, call: Callable[[], Awaitable[T]], dependency: str, cap_s: float
    ) -> T:
        fair = fair_s(stage, deadline_s=self.deadline_s, cap_s=cap_s)
        paid_for = stage in ("generation", "fallback")
        return await call_dependency(
            self.breakers,
            dependency,
            call,
            fair_s=fair,
            failed_within_s=CHEAP_WITHIN_S if paid_for else math.inf,
        )

    def _lose(self, stage: str, dependency: str | None, reason: str) -> None:
        self.lost.append(stage)
        log.warning(
            "stage lost", extra={"stage": stage, "dependency": dependency, "reason": reason}
        )
