"""Recording metrics: counted while a request runs, printed once at its end.

They are printed as EMF, JSON lines on standard output which CloudWatch turns into metrics: one
for a request, unless it counted something under several values of a dimension. Where nobody
reads EMF and nobody listens they go nowhere.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from steadyrag.domain.models import Answer
from steadyrag.telemetry import catalogue
from steadyrag.telemetry.catalogue import Metric
from steadyrag.telemetry.encoding import encoded

if TYPE_CHECKING:
    from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
        AmazonCloudWatchEMFProvider,
    )

log = logging.getLogger(__name__)

type Mode = Literal["off", "emf"]
type Listener = Callable[[Mapping[str, Any]], None]


class UnknownMetric(ValueError):
    """A metric, a dimension or its value is not in the catalogue: a bug in the caller."""


_MOST = 100
"""Metrics of an EMF document, and values of each."""


@dataclass(slots=True)
class _Document:
    """What one EMF document is to say. In one of them a dimension has one value, whatever
    directive it stands in, and so a metric is there under one set of them."""

    dimensions: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    under: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def takes(self, metric: Metric, value: float, dimensions: Mapping[str, str]) -> bool:
        """Whether it has the value now."""
        name = metric.name
        if held := self.metrics.get(name):
            if self.under[name] != dimensions or len(held["Value"]) == _MOST:
                return False
            held["Value"].append(value)
            return True
        for dimension, said in dimensions.items():
            if self.dimensions.get(dimension, said) != said:
                return False
        if len(self.metrics) == _MOST:
            return False
        self.dimensions.update(dimensions)
        self.metrics[name] = {"Unit": metric.unit, "Value": [value]}
        self.under[name] = dimensions
        return True

    def emf(self, service: str) -> Mapping[str, Any]:
        """In EMF, as Powertools writes it, but with a directive for each set of dimensions. Its
        own `Metrics` know one set: there would be one of them for each, with a line of its own,
        and each would keep and check every value again."""
        document = _powertools().serialize_metric_set(
            metrics=self.metrics, dimensions={**self.dimensions, "service": service}
        )
        directives: dict[tuple[str, ...], list[dict[str, str]]] = {}
        for name, dimensions in self.under.items():
            named = {"Name": name, "Unit": self.metrics[name]["Unit"]}
            directives.setdefault(tuple(dimensions), []).append(named)
        whole: dict[str, Any] = {**document}
        whole["_aws"]["CloudWatchMetrics"] = [
            {
                "Namespace": catalogue.NAMESPACE,
                "Dimensions": [["service", *dimensions]],
                "Metrics": named,
            }
            for dimensions, named in directives.items()
        ]
        return whole


@dataclass(slots=True)
class _Collected:
    documents: list[_Document] = field(default_factory=list)
    over: bool = False

    def add(self, metric: Metric, value: float, dimensions: Mapping[str, str]) -> None:
        for document in self.documents:
            if document.takes(metric, value, dimensions):
                return
        another = _Document()
        another.takes(metric, value, dimensions)
        self.documents.append(another)


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
        _emit(collected)


def count(metric: Metric, value: float = 1, **dimensions: str) -> None:
    """Records `value`, in the metric's unit; at once outside of `collecting`. Never raises
    in service."""
    if not (_emitting or _listener or _strict):
        return
    plain = not (dimensions or metric.dimensions) and metric in catalogue.KNOWN  # most are
    if not plain and (problem := catalogue.problem(metric, dimensions)):
        if _strict:
            raise UnknownMetric(problem)
        log.error("metric dropped", extra={"reason": problem})
        return
    if not (_emitting or _listener):
        return
    collected = _collected.get()
    if collected is not None and not collected.over:
        collected.add(metric, float(value), dimensions)
    else:
        alone = _Collected()
        alone.add(metric, float(value), dimensions)
        _emit(alone)


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
        latency = catalogue.STAGE_LATENCY.get(done.name)
        if latency and "cache" not in done.facts:  # nobody was asked
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


def _emit(collected: _Collected) -> None:
    try:
        for document in collected.documents:
            _hand_over(document.emf(_service))
    except Exception:
        log.exception("metrics not printed")


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
        sys.stdout.write(encoded(document).decode() + "\n")
    if _listener:
        _listener(document)
