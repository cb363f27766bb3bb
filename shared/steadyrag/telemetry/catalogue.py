"""Every metric there is: what it is called, counted in, told apart by, and what it means.

The stage is in a metric's name, not a dimension: one EMF document can't hold a metric under
several values of a dimension. Dimensions are few and closed; a user or a tenant is never one.
Metrics without a dimension share a document, so what every answer counts has none where that
will do: a 0 or 1 each time is a share when averaged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from steadyrag.domain.models import CacheStatus, Mode

type Unit = Literal["Count", "Milliseconds", "Seconds", "None"]

NAMESPACE = "Steadyrag"


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One entry of the catalogue, the same as itself alone. `dimensions` come besides
    `service`, which all have."""

    name: str
    unit: Unit
    dimensions: tuple[str, ...]
    meaning: str


DIMENSIONS: Mapping[str, frozenset[str]] = {
    "mode": frozenset(get_args(Mode)),
    "cause": frozenset(get_args(CacheStatus)) - {"hit"},
    "outcome": frozenset({"indexed", "deleted", "failed"}),
    "tier": frozenset({"memory", "flight", "valkey", "dynamodb"}),
    "dependency": frozenset({"embedding", "index", "reranker", "llm", "valkey", "dynamodb"}),
    "function": frozenset({"search", "health", "documents", "ingest", "quality", "report"}),
    "verdict": frozenset({"click", "good", "bad", "comment"}),
}
"""The values that each dimension may have."""

MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
"""The one dimension whose values settings choose, `model`: as many as models are in use."""

REQUESTS = Metric("Requests", "Count", ("mode",), "answers given, by rung of the fallback ladder")
LATENCY = Metric("Latency", "Milliseconds", (), "from a question to its answer, held or new")
SOURCES_LATENCY = Metric(
    "SourcesLatency", "Milliseconds", (), "from a question to its ranked sources, held or new"
)
DEGRADED = Metric("Degraded", "None", (), "1 for an answer that lost a stage, else 0")
CACHE_HIT = Metric("CacheHit", "None", (), "1 for an answer that was held, 0 for one that was not")
TOP_RELEVANCE = Metric(
    "TopRelevance", "None", (), "calibrated relevance of an answer's first source, 0 to 1"
)
ERRORS = Metric("Errors", "Count", (), "requests that broke: a 500 of our own making")
DEADLINE_EXCEEDED = Metric(
    "DeadlineExceeded", "Count", (), "stages that were lost because time was up"
)
COLD_STARTS = Metric("ColdStarts", "Count", ("function",), "first invocations of an environment")

_STAGES = ("embedding", "vector", "keyword", "rerank", "generation", "fallback", "extractive")

STAGE_LATENCY: Mapping[str, Metric] = {
    stage: Metric(f"{stage.title()}Latency", "Milliseconds", (), f"the stage {stage}, lost or not")
    for stage in (*_STAGES, "index")
}
"""By stage: how long it took in the answers that were computed."""

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
CACHE_MISSES = Metric("CacheMisses", "Count", ("cause",), "answers that were not held, by why")
EMBEDDING_CACHE_HITS = Metric(
    "EmbeddingCacheHits", "Count", ("tier",), "questions whose vector was held, by where"
)
EMBEDDING_CACHE_MISSES = Metric(
    "EmbeddingCacheMisses", "Count", (), "questions whose vector had to be made"
)

EMBEDDING_CALLS = Metric(
    "EmbeddingCalls", "Count", (), "calls of the embedding API, for questions and documents"
)
EMBEDDING_TEXTS = Metric("EmbeddingTexts", "Count", (), "texts in them")
EMBEDDING_TOKENS = Metric("EmbeddingTokens", "Count", ("model",), "tokens embedded")
PROMPT_TOKENS = Metric("PromptTokens", "Count", ("model",), "tokens that chat models read")
COMPLETION_TOKENS = Metric(
    "CompletionTokens", "Count", ("model",), "tokens that chat models wrote, reasoning included"
)
COST = Metric("Cost", "None", (), "US dollars that vendors' calls cost, by the price table")

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

RETRIES = Metric("Retries", "Count", ("dependency",), "second tries of a failed call")
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

READY = Metric(
    "Ready", "None", (), "1 when the readiness check found the index, else 0; once a minute"
)
GOLDEN_ASKED = Metric(
    "GoldenAsked", "Count", (), "golden questions that the index answered, as hoped or not"
)
GOLDEN_LOST = Metric(
    "GoldenLost",
    "Count",
    (),
    "golden questions whose expected document was not among the sources when last asked",
)
REPORT_AGE = Metric(
    "ReportAge", "None", (), "hours since the last daily report was sent; once an hour"
)
FEEDBACK = Metric("Feedback", "Count", ("verdict",), "what callers said of answers")

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
    *(REQUESTS, LATENCY, SOURCES_LATENCY, DEGRADED, TOP_RELEVANCE, ERRORS, DEADLINE_EXCEEDED),
    *(COLD_STARTS, *STAGE_LATENCY.values(), *LOST.values()),
    *(CACHE_HIT, CACHE_HITS, CACHE_MISSES, EMBEDDING_CACHE_HITS, EMBEDDING_CACHE_MISSES),
    *(EMBEDDING_CALLS, EMBEDDING_TEXTS, EMBEDDING_TOKENS, PROMPT_TOKENS, COMPLETION_TOKENS, COST),
    *(RATE_LIMITED, RATE_LIMIT_FALLBACK, LIVE_CONFIG_UNUSABLE, RETRIES),
    *(CIRCUIT_OPENED, CIRCUIT_PROBED, CIRCUIT_CLOSED, VENDOR_REFUSED, READY, FEEDBACK),
    *(GOLDEN_ASKED, GOLDEN_LOST, REPORT_AGE),
    *(INGESTED, INGEST_LAG, INGEST_POSTPONED),
)
"""All of them."""

KNOWN = frozenset(CATALOGUE)


def problem(metric: Metric, dimensions: Mapping[str, str]) -> str | None:
    """What is wrong with recording `metric` under these dimensions; None when nothing is."""
    if metric not in KNOWN:
        return f"{metric.name} is not in the catalogue"
    if not dimensions and not metric.dimensions:
        return None
    if dimensions.keys() != set(metric.dimensions):
        return f"{metric.name} has the dimensions {metric.dimensions}, not {tuple(dimensions)}"
    for name, value in dimensions.items():
        if not (MODEL.fullmatch(value) if name == "model" else value in DIMENSIONS[name]):
            return f"{metric.name}: {value!r} is no value of {name}"
    return None
