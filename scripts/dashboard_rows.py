"""The dashboard: which question each row answers, and with which graphs."""

from dashboard_alarms import inputs, marks
from dashboard_graphs import Graph, Line, Row
from dashboard_lines import (
    GREY,
    RED,
    by,
    by_model,
    level,
    of_function,
    of_functions,
    of_gateway,
    of_queue,
    of_release,
    of_searches,
    ours,
    percent,
    rungs,
    throttled_tables,
    total,
)

from steadyrag.telemetry import catalogue

HOUR_S = 3600

STAGES_LOST = Graph(
    "Stages lost", [ours(metric) for metric in catalogue.LOST.values()], 5, stacked=True
)

USERS = (
    Graph(
        "Availability",
        [
            *inputs("errors"),
            Line("served", expression="100 - 100 * broken / requests"),
            level("errors", "100 - ${ErrorPercent}", RED),
            level("goal", "99.9", "#2da44e"),
        ],
        unit="% of searches",
        most=100,
    ),
    Graph(
        "Latency, to the answer",
        [ours(catalogue.LATENCY, stat, stat) for stat in ("p50", "p99")],
        unit="ms",
        marks=marks("answers-slow"),
    ),
    Graph(
        "SourcesLatency, to the sources",
        [ours(catalogue.SOURCES_LATENCY, stat, stat) for stat in ("p50", "p99")],
        unit="ms",
        marks=marks("sources-slow"),
    ),
    Graph(
        "Requests by mode",
        [
            *rungs(),
            of_searches("5XXError", "5xx", RED),
            ours(catalogue.RATE_LIMITED, label="429", colour=GREY),
        ],
        unit="in 5 minutes",
        stacked=True,
    ),
)
QUALITY = (
    Graph(
        "Relevance of best source",
        [ours(catalogue.TOP_RELEVANCE, "Average")],
        5,
        HOUR_S,
        marks=marks("relevance-low"),
    ),
    Graph(
        "Answers that lost a stage",
        percent(catalogue.DEGRADED),
        5,
        unit="%",
        marks=marks("degraded"),
    ),
    STAGES_LOST,
    Graph(
        "Golden questions", [ours(catalogue.GOLDEN_ASKED), ours(catalogue.GOLDEN_LOST)], 4, HOUR_S
    ),
    Graph("Feedback", by(catalogue.FEEDBACK), 5, HOUR_S, stacked=True),
)
COST = (
    Graph(
        "Cost",
        [
            ours(catalogue.COST, id="hour"),
            Line("at the hour's pace", expression="24 * hour"),
            ours(catalogue.COST, id="quarter", period_s=6 * HOUR_S),
            Line("at six hours' pace", expression="4 * quarter", period_s=6 * HOUR_S),
        ],
        period_s=HOUR_S,
        unit="dollars a day",
        marks=marks("cost-forecast"),
    ),
    Graph(
        "Dollars for a thousand answers",
        [
            ours(catalogue.COST, id="cost"),
            ours(catalogue.LATENCY, "SampleCount", id="answers"),
            Line("Cost", expression="1000 * cost / answers"),
        ],
        period_s=HOUR_S,
    ),
    Graph(
        "Tokens in an hour, by model",
        [
            by_model(metric, HOUR_S)
            for metric in (
                catalogue.PROMPT_TOKENS,
                catalogue.COMPLETION_TOKENS,
                catalogue.EMBEDDING_TOKENS,
            )
        ],
        period_s=HOUR_S,
    ),
    Graph(
        "Embedding calls in an hour",
        [ours(catalogue.EMBEDDING_CALLS), ours(catalogue.EMBEDDING_TEXTS)],
        period_s=HOUR_S,
        marks=marks("embedding-calls"),
    ),
)
STAGES = tuple(
    Graph(
        f"{stat} of each stage",
        [ours(metric, stat) for metric in catalogue.STAGE_LATENCY.values()],
        12,
        unit="ms",
    )
    for stat in ("p50", "p99")
)
DEPENDENCIES = (
    Graph(
        "CircuitOpened by dependency",
        [
            *by(catalogue.CIRCUIT_OPENED),
            *total(catalogue.CIRCUIT_PROBED),
            *total(catalogue.CIRCUIT_CLOSED),
        ],
        5,
    ),
    Graph("VendorRefused by dependency", by(catalogue.VENDOR_REFUSED), 5, stacked=True),
    Graph(
        "Retries by dependency",
        [*by(catalogue.RETRIES), ours(catalogue.DEADLINE_EXCEEDED)],
        5,
    ),
    STAGES_LOST,
    Graph("Readiness", [ours(catalogue.READY, "Minimum")], 4, 60),
)
CACHES = (
    Graph(
        "Answers that were held",
        percent(catalogue.CACHE_HIT),
        5,
        HOUR_S,
        unit="%",
        marks=marks("cache-cold"),
    ),
    Graph("CacheHits by tier", by(catalogue.CACHE_HITS), 5, stacked=True),
    Graph("CacheMisses by cause", by(catalogue.CACHE_MISSES), 5, stacked=True),
    Graph(
        "EmbeddingCacheHits by tier",
        [*by(catalogue.EMBEDDING_CACHE_HITS), ours(catalogue.EMBEDDING_CACHE_MISSES)],
        5,
        stacked=True,
    ),
    Graph("Limits", [ours(catalogue.RATE_LIMITED), *total(catalogue.RATE_LIMIT_FALLBACK)], 4),
)
INGEST = (
    Graph(
        "Ingested by outcome",
        [*by(catalogue.INGESTED), ours(catalogue.INGEST_POSTPONED)],
        stacked=True,
    ),
    Graph(
        "How late",
        [
            ours(catalogue.INGEST_LAG, "Maximum"),
            of_queue("IngestQueueName", "ApproximateAgeOfOldestMessage", "oldest in the queue"),
        ],
        unit="seconds",
        marks=marks("ingest-lag"),
    ),
    Graph(
        "Queues",
        [
            of_queue("IngestQueueName", "ApproximateNumberOfMessagesVisible", "waiting"),
            of_queue("DeadQueueName", "ApproximateNumberOfMessagesVisible", "dead letters"),
        ],
        unit="messages",
    ),
    Graph(
        "The ingest function",
        [
            of_function("Ingest", metric, label=metric)
            for metric in ("Errors", "Throttles", "Invocations")
        ],
    ),
)
PLATFORM = (
    Graph(
        "Gateway, all routes",
        [
            of_gateway("Count"),
            of_gateway("4XXError", label="4xx"),
            of_gateway("5XXError", label="5xx", colour=RED),
            ours(catalogue.ERRORS, label="Errors of our own"),
        ],
    ),
    Graph(
        "Gateway's Latency",
        [
            of_gateway("Latency", "p50", "p50"),
            of_gateway("Latency", "p99", "p99"),
            of_gateway("IntegrationLatency", "p99", "p99 of the functions"),
        ],
        unit="ms",
    ),
    Graph("Lambda Errors", [*of_functions("Errors"), of_release("Errors")]),
    Graph("Lambda Throttles", of_functions("Throttles")),
    Graph(
        "Lambda Duration, p99",
        [*of_functions("Duration", "p99"), of_release("Duration", "p99")],
        5,
        unit="ms",
        marks=marks("release-slow"),
    ),
    Graph(
        "ConcurrentExecutions",
        [
            *of_functions("ConcurrentExecutions", "Maximum"),
            Line("the account's", "AWS/Lambda", "ClaimedAccountConcurrency", stat="Maximum"),
            level("reserved for search, or 0", "${SearchReservedConcurrency}", GREY),
        ],
        5,
    ),
    Graph("ColdStarts", by(catalogue.COLD_STARTS), 5, stacked=True),
    Graph("DynamoDB throttles", list(throttled_tables()), 5),
    Graph(
        "Operators",
        [ours(catalogue.LIVE_CONFIG_UNUSABLE), ours(catalogue.REPORT_AGE, "Maximum")],
        4,
    ),
)

ROWS: tuple[Row, ...] = (
    Row(
        "Users",
        "Are users served, and in time?",
        ("errors", "down", "answers-slow", "sources-slow", "throttled"),
        USERS,
    ),
    Row(
        "Quality",
        "Are answers as good as they were?",
        ("relevance-low", "golden-lost", "degraded"),
        QUALITY,
    ),
    Row("Cost", "Who is paid for what?", ("cost-forecast", "embedding-calls"), COST),
    Row("Stages", "Which stage is slow?", ("sources-slow", "answers-slow", "release-slow"), STAGES),
    Row(
        "Dependencies",
        "Is it a vendor, or a store?",
        ("circuit-open", "vendor-refuses", "not-ready", "degraded"),
        DEPENDENCIES,
    ),
    Row("Caches", "Is work paid for twice?", ("cache-cold", "rate-limit-fallback"), CACHES),
    Row(
        "Ingest",
        "Do changed documents arrive?",
        ("ingest-lag", "ingest-behind", "ingest-dead", "ingest-errors"),
        INGEST,
    ),
    Row(
        "Platform",
        "Does AWS do its part?",
        (
            "throttled",
            "live-config-unusable",
            "functions-failing",
            "report-missing",
            "release-errors",
            "release-throttles",
        ),
        PLATFORM,
    ),
)
