"""Recording metrics: counted while a request runs, printed once at its end.

They are printed as EMF, JSON lines on standard output which CloudWatch turns into metrics: one
for a request, unless it counted something under several values of a dimension. Where nobody
reads EMF and nobody listens they go nowhere.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from steadyrag.domain.models import Answer
from steadyrag.telemetry import catalogue
from steadyrag.telemetry.catalogue import Metric

if TYPE_CHECKING:
    from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
        AmazonCloudWatchEMFProvider,
    )

log = logging.getLogger(__name__)

type Mode = Literal["off", "emf"]
type Dimensions = tuple[tuple[str, str], ...]
type Listener = Callable[[Mapping[str, Any]], None]


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


_encode = json.JSONEncoder(separators=(",", ":")).encode

_collected: ContextVar[_Collected | None] = ContextVar("collected", default=None)
_emitting = False
_listener: Listener | None = None
_service = "steadyrag"
_strict = False
_serializer: AmazonCloudWatchEMFProvider | None = None


def configure(mode: Mode, *, service: str = "steadyrag", strict: bool = False) -> None:
    """Where metrics go, and as whose: two stacks of an account are told apart by `service`.
    `strict` raises `UnknownMetric`, which in service is only logged."""
    global _emitting, _service, _strict
    _emitting, _service, _strict = mode == "emf", service, strict


def subscribe(listener: Listener | None) -> None:
    """Has `listener` see each EMF document, printed or not; None ends it."""
    global _listener
    _listener = listener


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
    if not (_emitting or _listener or _strict):
        return
    if problem := catalogue.problem(metric, dimensions):
        if _strict:
            raise UnknownMetric(problem)
        log.error("metric dropped", extra={"reason": problem})
        return
    if not (_emitting or _listener):
        return
    sample = _Sample(metric, value, tuple(dimensions.items()))
    collected = _collected.get()
    if collected is None or collected.over:
        _emit([sample])
    else:
        collected.samples.append(sample)


def answered(answer: Answer) -> None:
    """One answer: its rung, how long it took, what was lost, whether it was held, and how good
    its best source is."""
    total_ms = answer.timings_ms["total"]
    count(catalogue.REQUESTS, mode=answer.mode)
    count(catalogue.LATENCY, total_ms)
    count(catalogue.SOURCES_LATENCY, answer.timings_ms.get("sources", total_ms))
    count(catalogue.DEGRADED, 1 if answer.degraded else 0)
    if answer.calibrated and answer.sources:
        count(catalogue.TOP_RELEVANCE, max(source.score for source in answer.sources))
    _cached(answer)
    for stage in answer.degraded:
        count(catalogue.LOST[stage])
    for done in answer.stages:
        if latency := catalogue.STAGE_LATENCY.get(done.name):
            count(latency, done.duration_ms)


def _cached(answer: Answer) -> None:
    """Who asks for an answer that is not held says nothing of the cache."""
    status = answer.cache.status
    if status != "bypass":
        count(catalogue.CACHE_HIT, 1 if status == "hit" else 0)
    if status == "hit":
        count(catalogue.CACHE_HITS, tier=answer.cache.tier or "memory")
    else:
        count(catalogue.CACHE_MISSES, cause=status)


def on_transition(name: str, state: Literal["closed", "open", "half_open"]) -> None:
    """For a circuit breaker: its dependency `name` is in `state` from now on."""
    count(_TRANSITIONS[state], dependency=_family(name))


def on_retry(name: str) -> None:
    """For whoever calls a dependency: `name` is asked once more."""
    count(catalogue.RETRIES, dependency=_family(name))


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
    """Prints them in as few documents as hold them."""
    if not samples:
        return
    try:
        for together in _documents(samples):
            _hand_over(_document(together))
    except Exception:
        log.exception("metrics not printed")


def _documents(samples: Sequence[_Sample]) -> list[list[_Sample]]:
    """Which of the samples share a document. In one of them a dimension has one value and a
    metric one set of dimensions, whatever directive they are of."""
    documents: list[tuple[dict[str, str], dict[Metric, Dimensions], list[_Sample]]] = []
    for sample in samples:
        for values, measured, held in documents:
            if len(held) < _MOST_VALUES and _fits(sample, values, measured):
                break
        else:
            values, measured, held = dict[str, str](), dict[Metric, Dimensions](), []
            documents.append((values, measured, held))
        values.update(sample.dimensions)
        measured[sample.metric] = sample.dimensions
        held.append(sample)
    return [held for _, _, held in documents]


_MOST_VALUES = 100
"""As many values of a metric fit into one EMF document, and as many metrics."""


def _fits(
    sample: _Sample, values: Mapping[str, str], measured: Mapping[Metric, Dimensions]
) -> bool:
    if measured.get(sample.metric, sample.dimensions) != sample.dimensions:
        return False
    for name, value in sample.dimensions:  # noqa: SIM110 - takes half as long as `all`
        if values.get(name, value) != value:
            return False
    return True


def _document(samples: Sequence[_Sample]) -> Mapping[str, Any]:
    """The samples in EMF, as Powertools writes it, but with a directive for each set of
    dimensions. Its `Metrics` know one set, and keep and check each value again: with a document
    for each they take twice the time of everything else here."""
    metrics: dict[str, dict[str, Any]] = {}
    directives: dict[Dimensions, list[dict[str, str]]] = {}
    values = {"service": _service}
    for sample in samples:
        metric = sample.metric
        if metric.name not in metrics:
            metrics[metric.name] = {"Unit": metric.unit, "Value": []}
            named = {"Name": metric.name, "Unit": metric.unit}
            directives.setdefault(sample.dimensions, []).append(named)
            values.update(sample.dimensions)
        metrics[metric.name]["Value"].append(float(sample.value))
    document: dict[str, Any] = {
        **_powertools().serialize_metric_set(metrics=metrics, dimensions=values)
    }
    document["_aws"]["CloudWatchMetrics"] = [
        {
            "Namespace": catalogue.NAMESPACE,
            "Dimensions": [["service", *(name for name, _ in dimensions)]],
            "Metrics": named,
        }
        for dimensions, named in directives.items()
    ]
    return document


def _powertools() -> AmazonCloudWatchEMFProvider:
    global _serializer
    if _serializer is None:
        from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
            AmazonCloudWatchEMFProvider,
        )

        _serializer = AmazonCloudWatchEMFProvider(namespace=catalogue.NAMESPACE)
    return _serializer


def _hand_over(document: Mapping[str, Any]) -> None:
    if _emitting:
        # In one piece: lines of requests that run side by side would mix.
        sys.stdout.write(_encode(document) + "\n")
    if _listener:
        _listener(document)
