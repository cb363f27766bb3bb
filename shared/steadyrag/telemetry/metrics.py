"""Recording metrics: counted while a request runs, printed once at its end.

They are printed as EMF, one JSON line on standard output for each set of dimensions, which
CloudWatch turns into metrics. Where nobody reads EMF they go nowhere.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from steadyrag.domain.models import Answer
from steadyrag.telemetry import catalogue
from steadyrag.telemetry.catalogue import Metric

log = logging.getLogger(__name__)

type Mode = Literal["off", "emf"]
type Dimensions = tuple[tuple[str, str], ...]


class UnknownMetric(ValueError):
    """A metric, a dimension or its value is not in the catalogue: a bug in the caller."""


@dataclass(frozen=True, slots=True)
class _Sample:
    metric: Metric
    value: float
    dimensions: Dimensions


@dataclass(slots=True)
class _Collected:
    samples: list[_Sample] = field(default_factory=list)
    over: bool = False


_collected: ContextVar[_Collected | None] = ContextVar("collected", default=None)
_emitting = False
_service = "steadyrag"
_strict = False


def configure(mode: Mode, *, service: str = "steadyrag", strict: bool = False) -> None:
    """Where metrics go, and as whose: two stacks of an account are told apart by `service`.
    `strict` raises `UnknownMetric`, which in service is only logged."""
    global _emitting, _service, _strict
    _emitting, _service, _strict = mode == "emf", service, strict


@contextmanager
def collecting() -> Iterator[None]:
    """Keeps what is counted inside, in tasks begun inside too, and prints it at the end.
    A task that goes on after it prints for itself."""
    collected = _Collected()
    token = _collected.set(collected)
    try:
        yield
    finally:
        _collected.reset(token)
        collected.over = True
        _emit(collected.samples)


def count(metric: Metric, value: float = 1, **dimensions: str) -> None:
    """Records `value`, in the metric's unit; at once outside of `collecting`. Never raises
    in service."""
    if not (_emitting or _strict):
        return
    if problem := catalogue.problem(metric, dimensions):
        if _strict:
            raise UnknownMetric(problem)
        log.error("metric dropped", extra={"reason": problem})
        return
    if not _emitting:
        return
    sample = _Sample(metric, value, tuple(dimensions.items()))
    collected = _collected.get()
    if collected is None or collected.over:
        _emit([sample])
    else:
        collected.samples.append(sample)


def answered(answer: Answer) -> None:
    """One answer: its rung, how long it took, what was lost, and whether it was held."""
    count(catalogue.REQUESTS, mode=answer.mode)
    count(catalogue.LATENCY, answer.timings_ms["total"], mode=answer.mode)
    for stage in answer.degraded:
        count(catalogue.LOST[stage])
    if answer.cache.status == "hit":
        count(catalogue.CACHE_HITS, tier=answer.cache.tier or "memory")
    else:
        count(catalogue.CACHE_MISSES, cache=answer.cache.status)


def on_transition(name: str, state: Literal["closed", "open", "half_open"]) -> None:
    """For a circuit breaker: its dependency `name` is in `state` from now on."""
    count(_TRANSITIONS[state], dependency=_family(name))


def on_refused(name: str) -> None:
    """For a circuit breaker: the dependency `name` would not serve a call."""
    count(catalogue.VENDOR_REFUSED, dependency=_family(name))


def on_fallback(store: str) -> None:
    """For the rate limiter: `store` did not answer, so this process counts alone."""
    count(catalogue.RATE_LIMIT_FALLBACK, dependency=_family(store))


_TRANSITIONS = {
    "open": catalogue.CIRCUIT_OPENED,
    "half_open": catalogue.CIRCUIT_PROBED,
    "closed": catalogue.CIRCUIT_CLOSED,
}


def _family(name: str) -> str:
    """`llm:gpt-6-luna` counts as `llm` and `index:vector` as `index`: models come and go, alarms
    stay; the log line has the circuit's whole name."""
    return name.partition(":")[0]


def _emit(samples: Sequence[_Sample]) -> None:
    """Prints one document for each set of dimensions."""
    if not samples:
        return
    documents: defaultdict[Dimensions, list[_Sample]] = defaultdict(list)
    for sample in samples:
        documents[sample.dimensions].append(sample)
    for dimensions, held in documents.items():
        try:
            _print(dimensions, held)
        except Exception:
            log.exception("metrics not printed")


def _print(dimensions: Dimensions, samples: Sequence[_Sample]) -> None:
    # Not `Metrics`: its instances share what they hold.
    from aws_lambda_powertools.metrics import EphemeralMetrics

    document = EphemeralMetrics(namespace=catalogue.NAMESPACE, service=_service)
    for name, value in dimensions:
        document.add_dimension(name, value)
    for sample in samples:
        document.add_metric(sample.metric.name, sample.metric.unit, sample.value)
    if document.metric_set:  # a hundred values print themselves
        document.flush_metrics()
