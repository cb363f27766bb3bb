"""The record of one request's stages: how long each took and which were lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from steadyrag.domain.errors import DependencyError
from steadyrag.resilience.deadline import Clock, remaining_s

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Run:
    """Collects timings and losses while stages run, several at a time.

    `timings_ms` is by stage; `lost` holds the stages that failed, in the order they did.
    """

    clock: Clock = time.perf_counter
    timings_ms: dict[str, float] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    async def attempt[T](
        self, stage: str, work: Coroutine[Any, Any, T], *, cap_s: float
    ) -> T | None:
        """The stage's result, or None when it was lost.

        A stage is lost when its dependency fails, when it takes longer than `cap_s` or what
        the deadline leaves, or when an adapter breaks in a way nobody foresaw. Callers are
        told of their own mistakes before any stage runs.
        """
        started = self.clock()
        try:
            async with asyncio.timeout(min(cap_s, remaining_s())):
                return await work
        except TimeoutError:
            self._lose(stage, "took longer than its share of the deadline")
        except DependencyError as error:
            self._lose(stage, f"{type(error).__name__}: {error.problem}")
        except Exception as error:  # a bug in an adapter costs its stage, not the answer
            log.exception("stage broke", extra={"stage": stage})
            self._lose(stage, type(error).__name__)
        finally:
            self.timings_ms[stage] = round((self.clock() - started) * 1000, 2)
        return None

    def _lose(self, stage: str, reason: str) -> None:
        self.lost.append(stage)
        log.warning("stage lost", extra={"stage": stage, "reason": reason})
