"""Every metric there is: what it is called, counted in, told apart by, and what it means.

The stage is in a metric's name, not a dimension: one EMF document can't hold a metric under
several values of a dimension. Dimensions are few and closed; a user or a tenant is never one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from steadyrag.domain.models import CacheStatus, Mode

type Unit = Literal["Count", "Milliseconds", "Seconds"]

NAMESPACE = "Steadyrag"


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue. `dimensions` come besides `service`, which all have."""

    name: str
    unit: Unit
    dimensions: tuple[str, ...]
    meaning: str


DIMENSIONS: Mapping[str, frozenset[str]] = {
    "mode": frozenset(get_args(Mode)),
    "cache": frozenset(get_args(CacheStatus)) - {"hit"},
    "outcome": frozenset({"indexed", "deleted", "failed"}),
    "tier": frozenset({"memory", "flight", "valkey", "dynamodb"}),
    "dependency": frozenset({"embedding", "index", "reranker", "llm", "valkey", "dynamodb"}),
}
"""The values that each dimension may have."""

REQUESTS = Metric("Requests", "Count", ("mode",), "answers given, by rung of the fallback ladder")
LATENCY = Metric("Latency", "Milliseconds", ("mode",), "from a question to its answer, held or new")

LOST: Mapping[str, Metric] = {
    stage: Metric(f"{stage.title()}Lost", "Count", (), f"answers given {without}")
    for stage, without in {
        "embedding": "without the question's vector",
        "vector": "without vector search",
        "keyword": "without keyword search",
        "rerank": "in fused order, because the reranker was lost",
        "generation": "without the first chat model",
        "fallback": "without the second chat model either",
        "extractive": "without even a quotation from the sources",
        "index": "without knowing whether the namespace is empty",
    }.items()
}
"""By stage: what was lost on the way to an answer that was given all the same."""

CACHE_HITS = Metric("CacheHits", "Count", ("tier",), "answers that were held, by where")
CACHE_MISSES = Metric("CacheMisses", "Count", ("cache",), "answers that were not held, by why")

RATE_LIMITED = Metric("RateLimited", "Count", (), "requests refused with 429")
RATE_LIMIT_FALLBACK = Metric(
    "RateLimitFallback",
    "Count",
    ("dependency",),
    "limits that a process counted by itself, because no shared store answered",
)
LIVE_CONFIG_UNUSABLE = Metric(
    "LiveConfigUnusable",
    "Count",
    (),
    "readings of the live configuration that failed or found it wrong; what held goes on",
)

CIRCUIT_OPENED = Metric(
    "CircuitOpened", "Count", ("dependency",), "times that failures in a row stopped calls"
)
CIRCUIT_PROBED = Metric(
    "CircuitProbed", "Count", ("dependency",), "single calls that ask whether it is back"
)
CIRCUIT_CLOSED = Metric("CircuitClosed", "Count", ("dependency",), "times that it was back")
VENDOR_REFUSED = Metric(
    "VendorRefused",
    "Count",
    ("dependency",),
    "calls that the vendor would not serve: credentials, permission, not found, quota",
)

INGESTED = Metric(
    "Ingested", "Count", ("outcome",), "documents brought up to date, or found to be unreadable"
)
INGEST_LAG = Metric(
    "IngestLag", "Seconds", (), "from a change in the bucket to its outcome, or since, so far"
)
INGEST_POSTPONED = Metric(
    "IngestPostponed", "Count", (), "messages sent again because their document has to wait"
)

CATALOGUE: tuple[Metric, ...] = (
    *(REQUESTS, LATENCY, *LOST.values(), CACHE_HITS, CACHE_MISSES),
    *(RATE_LIMITED, RATE_LIMIT_FALLBACK, LIVE_CONFIG_UNUSABLE),
    *(CIRCUIT_OPENED, CIRCUIT_PROBED, CIRCUIT_CLOSED, VENDOR_REFUSED),
    *(INGESTED, INGEST_LAG, INGEST_POSTPONED),
)
"""All of them."""

_KNOWN = frozenset(CATALOGUE)


def problem(metric: Metric, dimensions: Mapping[str, str]) -> str | None:
    """What is wrong with recording `metric` under these dimensions; None when nothing is."""
    if metric not in _KNOWN:
        return f"{metric.name} is not in the catalogue"
    if dimensions.keys() != set(metric.dimensions):
        return f"{metric.name} has the dimensions {metric.dimensions}, not {tuple(dimensions)}"
    for name, value in dimensions.items():
        if value not in DIMENSIONS[name]:
            return f"{metric.name}: {value!r} is no value of {name}"
    return None
