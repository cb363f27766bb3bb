"""The report of one day, from what CloudWatch keeps of the service's metrics.

of the day, the day before and the day a week before: read the metrics ─ read the alarms
└── figures beside each other

No search is read: what is known of each is in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, tzinfo
from typing import get_args

from steadyrag.domain.local_days import bounds
from steadyrag.domain.models import Mode
from steadyrag.domain.ports import MetricReader, Statistic
from steadyrag.domain.report import Kind, Line, Report, Value, compared
from steadyrag.telemetry import catalogue
from steadyrag.telemetry.catalogue import NAMESPACE, Metric
from steadyrag.telemetry.spans import span

ALARMS_KEPT_S = 30 * 86_400
"""How long CloudWatch remembers what alarms did."""

MODES: tuple[str, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class Models:
    """Whose tokens are told apart."""

    embedding: str
    chat: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ReportParts:
    """What a report is made from. `service` is the stack, `zone` where its days begin and end,
    `zone_name` what people call that."""

    reader: MetricReader
    service: str
    models: Models
    budget_usd: float = 20.0
    zone: tzinfo = UTC
    zone_name: str = "UTC"

    async def aclose(self) -> None:
        await self.reader.aclose()


type Make = Callable[[Sequence[float | None]], Value]


@dataclass(frozen=True, slots=True)
class _Figure:
    """A line, made of statistics. One that is `rare` is left out where it would be all zeros."""

    label: str
    kind: Kind
    of: tuple[Statistic, ...]
    make: Make
    rare: bool = False


async def daily_report(day: date, parts: ReportParts, *, now: float) -> Report:
    """The report of `day`, which is over. Raises `DependencyError`."""
    sections = list(_sections(parts))
    asked = list(dict.fromkeys(one for figures in sections for f in figures for one in f.of))
    measured: list[Mapping[Statistic, float | None]] = []
    raised: list[Mapping[str, int] | None] = []
    with span("figures") as traced:
        traced.facts.update(day=str(day), asked=len(asked))
        for one in compared(day):
            start, end = bounds(one, parts.zone)
            values = await parts.reader.read(asked, start=start, end=end)
            measured.append(dict(zip(asked, values, strict=True)))
            known = now - start < ALARMS_KEPT_S
            prefix = f"{parts.service}-"
            raised.append(
                await parts.reader.alarms_raised(prefix, start=start, end=end) if known else None
            )
    lines = [_lines(figures, measured) for figures in sections]
    on, before, week = (None if one is None else float(sum(one.values())) for one in raised)
    lines.append([Line("alarms", "count", (on, before, week))])
    return Report(parts.service, day, parts.zone_name, lines, raised[0])


def _lines(
    figures: Sequence[_Figure], measured: Sequence[Mapping[Statistic, float | None]]
) -> list[Line]:
    made = [(figure, [_value(figure, one) for one in measured]) for figure in figures]
    return [
        Line(figure.label, figure.kind, (day, before, week))
        for figure, (day, before, week) in made
        if not figure.rare or any((day, before, week))
    ]


def _value(figure: _Figure, measured: Mapping[Statistic, float | None]) -> Value:
    """Nothing of a day on which nothing at all was measured, when there was no stack yet."""
    if all(value is None for value in measured.values()):
        return None
    return figure.make([measured[one] for one in figure.of])


def _sections(parts: ReportParts) -> Iterator[Sequence[_Figure]]:
    ours = _Ours(parts.service)
    yield _searches(ours)
    yield _latencies(ours)
    yield _quality(ours)
    yield _cost(ours, parts)
    yield _callers(ours)
    yield _documents(ours)


@dataclass(frozen=True, slots=True)
class _Ours:
    """Statistics of one service's metrics."""

    service: str

    def of(self, metric: Metric, stat: str = "Sum", **dimensions: str) -> Statistic:
        if problem := catalogue.problem(metric, dimensions):
            raise ValueError(problem)
        named = {"service": self.service, **dimensions}
        return Statistic(NAMESPACE, metric.name, tuple(sorted(named.items())), stat)

    def total(
        self, label: str, metric: Metric, *, rare: bool = False, **dimensions: str
    ) -> _Figure:
        return _Figure(label, "count", (self.of(metric, **dimensions),), _total, rare)

    def most(self, label: str, metric: Metric) -> _Figure:
        """Of a metric that says how things stand, again in every run."""
        return _Figure(label, "count", (self.of(metric, "Maximum"),), _total)

    def by_mode(self) -> tuple[Statistic, ...]:
        return tuple(self.of(catalogue.REQUESTS, mode=mode) for mode in MODES)


def _total(values: Sequence[float | None]) -> float:
    """Counts are printed when there is something to count."""
    return sum(value or 0.0 for value in values)


def _alone(values: Sequence[float | None]) -> Value:
    (value,) = values
    return value


def _percent(values: Sequence[float | None]) -> Value:
    (value,) = values
    return None if value is None else 100 * value


def _searches(ours: _Ours) -> list[_Figure]:
    return [
        _Figure("searches", "count", ours.by_mode(), _total),
        *(
            ours.total(f"  {mode.replace('_', ' ')}", catalogue.REQUESTS, mode=mode)
            for mode in MODES
        ),
    ]


def _latencies(ours: _Ours) -> list[_Figure]:
    measured = ((catalogue.LATENCY, "answers"), (catalogue.SOURCES_LATENCY, "sources"))
    return [
        _Figure(f"{what}, {stat}", "ms", (ours.of(metric, stat),), _alone)
        for metric, what in measured
        for stat in ("p50", "p95", "p99")
    ]


def _quality(ours: _Ours) -> list[_Figure]:
    errors = ours.of(catalogue.ERRORS)
    canned = ours.of(catalogue.REQUESTS, mode="canned")
    lost = [
        ours.total(f"  without {stage}", metric, rare=True)
        for stage, metric in catalogue.LOST.items()
    ]
    return [
        _Figure("errors", "count", (errors,), _total),
        _Figure("errors and apologies", "percent", (errors, canned, *ours.by_mode()), _failed),
        _Figure("lost a stage", "percent", (ours.of(catalogue.DEGRADED, "Average"),), _percent),
        *lost,
        _Figure("held answers", "percent", (ours.of(catalogue.CACHE_HIT, "Average"),), _percent),
        _Figure(
            "relevance of first sources",
            "share",
            (ours.of(catalogue.TOP_RELEVANCE, "Average"), *ours.by_mode()),
            _relevance,
        ),
        _Figure("ready", "percent", (ours.of(catalogue.READY, "Average"),), _percent),
        ours.most("golden questions asked", catalogue.GOLDEN_ASKED),
        ours.most("golden questions lost", catalogue.GOLDEN_LOST),
    ]


def _failed(values: Sequence[float | None]) -> Value:
    """Apologies are answers, errors are none."""
    errors, canned, *answers = (value or 0.0 for value in values)
    asked = errors + sum(answers)
    return 100 * (errors + canned) / asked if asked else None


def _relevance(values: Sequence[float | None]) -> Value:
    relevance, *answers = values
    if relevance is None and any(answers):
        return "not calibrated"
    return relevance


def _cost(ours: _Ours, parts: ReportParts) -> list[_Figure]:
    cost = (ours.of(catalogue.COST),)
    models = parts.models
    return [
        _Figure("vendors' calls", "dollars", cost, _total),
        _Figure(
            f"  of ${parts.budget_usd:,.2f} a day",
            "percent",
            cost,
            lambda values: 100 * _total(values) / parts.budget_usd,
        ),
        ours.total("embedding calls", catalogue.EMBEDDING_CALLS),
        ours.total(
            f"tokens, {models.embedding}", catalogue.EMBEDDING_TOKENS, model=models.embedding
        ),
        *(
            ours.total(f"{what}, {model}", metric, model=model)
            for model in models.chat
            for what, metric in (
                ("read", catalogue.PROMPT_TOKENS),
                ("written", catalogue.COMPLETION_TOKENS),
            )
        ),
    ]


def _callers(ours: _Ours) -> list[_Figure]:
    labels = {"click": "clicks", "good": "found good", "bad": "found bad", "comment": "comments"}
    return [
        *(
            ours.total(label, catalogue.FEEDBACK, verdict=verdict)
            for verdict, label in labels.items()
        ),
        ours.total("refused with 429", catalogue.RATE_LIMITED),
    ]


def _documents(ours: _Ours) -> list[_Figure]:
    return [
        *(
            ours.total(f"documents {outcome}", catalogue.INGESTED, outcome=outcome)
            for outcome in ("indexed", "deleted", "failed")
        ),
        _Figure("longest lag", "seconds", (ours.of(catalogue.INGEST_LAG, "Maximum"),), _alone),
    ]
