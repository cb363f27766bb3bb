"""One request's stages: each within its slice, behind its circuit, tried once more where that
may help; when each ran, what it consumed, and which were lost."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from steadyrag.domain.errors import DependencyError
from steadyrag.domain.models import Embedding, Fact, Generation, Ranking, Stage
from steadyrag.domain.prices import Prices
from steadyrag.domain.slices import fair_s, slice_s
from steadyrag.resilience.breakers import Breakers
from steadyrag.resilience.calling import call_dependency
from steadyrag.resilience.deadline import Clock, deadline, remaining_s
from steadyrag.resilience.retry import CHEAP_WITHIN_S
from steadyrag.telemetry import catalogue, metrics
from steadyrag.telemetry.spans import span

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Run:
    """Collects what stages did while they run, several at a time.

    `deadline_s` is the service's own, whatever this caller asked for. `timings_ms` is by
    stage; `stages` are in the order they ended; `lost` holds those that failed, in the order
    they did. `cost_usd` is what they cost by `prices`, None once something has no price.
    """

    clock: Clock = time.perf_counter
    breakers: Breakers = field(default_factory=Breakers)
    deadline_s: float = 25.0
    prices: Prices = field(default_factory=Prices)
    timings_ms: dict[str, float] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    cost_usd: float | None = 0.0
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()

    def since_ms(self, then: float) -> float:
        """Milliseconds since the clock said `then`."""
        return round((self.clock() - then) * 1000, 2)

    def waited(self, name: str) -> None:
        """All the time until now went into `name`, before the first stage."""
        self.timings_ms[name] = self.since_ms(self.began)
        self.stages.append(Stage(name, 0.0, self.timings_ms[name]))

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
        facts: dict[str, Fact] = {}
        try:
            with (
                span(stage) as traced,
                deadline(slice_s(stage, left_s=remaining_s(), cap_s=cap_s)),
            ):
                facts = traced.facts
                try:
                    result = await self._called(stage, call, dependency, cap_s)
                except Exception as error:
                    facts["reason"] = _reason(error)
                    raise
                facts |= self._used(result)
                return result
        except TimeoutError:
            metrics.count(catalogue.DEADLINE_EXCEEDED)
            self._lose(stage, dependency, facts)
        except DependencyError as error:
            self._lose(stage, dependency or error.dependency, facts)
        except Exception:  # a bug in an adapter costs its stage, not the answer
            log.exception("stage broke", extra={"stage": stage})
            self._lose(stage, dependency, facts)
        finally:
            self._ended(stage, started, facts)
        return None

    def _ended(self, stage: str, started: float, facts: Mapping[str, Fact]) -> None:
        self.timings_ms[stage] = took_ms = self.since_ms(started)
        start_ms = round((started - self.began) * 1000, 2)
        self.stages.append(Stage(stage, start_ms, took_ms, stage in self.lost, facts))

    def _used(self, result: object) -> Mapping[str, Fact]:
        """What a stage's result says of itself, and what it cost."""
        match result:
            case Embedding(tokens=tokens):
                return {"tokens": tokens, **self._costs(self.prices.embedded(tokens))}
            case Generation(model=model, prompt_tokens=prompt, completion_tokens=completion):
                cost = self.prices.generated(model, prompt=prompt, completion=completion)
                if prompt or completion:
                    metrics.count(catalogue.PROMPT_TOKENS, prompt, model=model)
                    metrics.count(catalogue.COMPLETION_TOKENS, completion, model=model)
                read = {"prompt_tokens": prompt, "completion_tokens": completion}
                return {"model": model, "found": result.found, **read, **self._pays(cost)}
            case Ranking(hits=hits):
                return {"hits": len(hits), **self._pays(self.prices.rerank_usd)}
            case list() | tuple():
                return {"hits": len(result)}
        return {}

    def _pays(self, cost_usd: float | None) -> Mapping[str, Fact]:
        if cost_usd:
            metrics.count(catalogue.COST, cost_usd)
        return self._costs(cost_usd)

    def _costs(self, cost_usd: float | None) -> Mapping[str, Fact]:
        if cost_usd is None or self.cost_usd is None:
            self.cost_usd = None
            return {}
        self.cost_usd += cost_usd
        return {"cost_usd": round(cost_usd, 9)} if cost_usd else {}

    async def _called[T](
        self, stage: str, call: Callable[[], Awaitable[T]], dependency: str | None, cap_s: float
    ) -> T:
        if dependency is None:
            async with asyncio.timeout(remaining_s()):
                return await call()
        paid_for = stage in ("generation", "fallback")
        return await call_dependency(
            self.breakers,
            dependency,
            call,
            fair_s=fair_s(stage, deadline_s=self.deadline_s, cap_s=cap_s),
            failed_within_s=CHEAP_WITHIN_S if paid_for else math.inf,
        )

    def _lose(self, stage: str, dependency: str | None, facts: Mapping[str, Fact]) -> None:
        self.lost.append(stage)
        reason = facts.get("reason")
        log.warning(
            "stage lost", extra={"stage": stage, "dependency": dependency, "reason": reason}
        )


def _reason(error: Exception) -> str:
    """What an operator needs to know, and nothing that a vendor quotes."""
    if isinstance(error, TimeoutError):
        return "took longer than its share of the deadline"
    problem = f": {error.problem}" if isinstance(error, DependencyError) else ""
    return f"{type(error).__name__}{problem}"
