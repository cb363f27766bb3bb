"""How the service is doing against what it promises: the figures of its metrics in a window of
time, each with its goal and the line at which somebody is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from steadyrag.telemetry import catalogue
from steadyrag.telemetry.catalogue import DIMENSIONS, NAMESPACE, Metric

MINUTE_S = 60
RECENT_MINUTES = 15
POINTS = 60
"""Minutes that are shown one by one."""


class Samples(Protocol):
    """Metrics over time, as CloudWatch would tell of them."""

    def values(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        stat: str,
        period_s: int,
        start: float,
        end: float,
    ) -> Sequence[float | None]:
        """One value for each period from `start` to `end`, both whole minutes; None where
        nothing was recorded."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure with what is promised of it. `alarm` is where `alarms` of the same name fires;
    `better` says on which side of both it should be."""

    key: str
    unit: Literal["ms", "share", "score", "usd_per_day", "per_hour"]
    goal: float | None = None
    alarm: float | None = None
    alarm_name: str | None = None
    better: Literal["lower", "higher"] = "lower"


GOALS: tuple[Goal, ...] = (
    Goal("sources_p50", "ms"),
    Goal("sources_p99", "ms", 500, 1000, "sources-slow"),
    Goal("total_p50", "ms"),
    Goal("total_p99", "ms", 4000, 8000, "answers-slow"),
    Goal("errors", "share", 0.001, 0.01, "errors"),
    Goal("degraded", "share", None, 0.1, "degraded"),
    Goal("cache_hits", "share", 0.4, 0.2, "cache-cold", "higher"),
    Goal("top_1", "score", 0.7, 0.5, "relevance-low", "higher"),
    Goal("cost", "usd_per_day", None, 20, "cost-forecast"),
    Goal("embedding_calls", "per_hour", 10_000, 50_000, "embedding-calls"),
)
"""The alarms' lines are the defaults of the template's parameters."""


@dataclass(frozen=True, slots=True)
class Window:
    """Some minutes, from `start` (epoch seconds of a whole one), and the figures of them."""

    samples: Samples
    service: str
    start: int
    minutes: int

    def figure(self, key: str) -> float | None:
        """The goal's figure; None where nothing was recorded that says."""
        match key:
            case "sources_p50" | "sources_p99":
                return self._stat(catalogue.SOURCES_LATENCY, key[-3:])
            case "total_p50" | "total_p99":
                return self._stat(catalogue.LATENCY, key[-3:])
            case "degraded":
                return self._stat(catalogue.DEGRADED, "Average")
            case "cache_hits":
                return self._stat(catalogue.CACHE_HIT, "Average")
            case "top_1":
                return self._stat(catalogue.TOP_RELEVANCE, "Average")
            case "errors":
                return self._errors()
            case "cost":
                return self._rate(catalogue.COST, 86_400)
            case "embedding_calls":
                return self._rate(catalogue.EMBEDDING_CALLS, 3600)
        raise KeyError(key)

    @property
    def answers(self) -> int:
        """Given, on whichever rung."""
        return round(sum(self._answers(mode) for mode in DIMENSIONS["mode"]))

    def _answers(self, mode: str) -> float:
        return self._stat(catalogue.REQUESTS, "Sum", mode=mode) or 0

    def _errors(self) -> float | None:
        broken = self._stat(catalogue.ERRORS, "Sum") or 0
        asked = self.answers + broken
        return (broken + self._answers("canned")) / asked if asked else None

    def _rate(self, metric: Metric, per_s: float) -> float | None:
        """What it would come to in `per_s` at this pace; nothing while nobody asks."""
        total = self._stat(metric, "Sum")
        if total is None and not self.answers:
            return None
        return (total or 0) * per_s / (self.minutes * MINUTE_S)

    def _stat(self, metric: Metric, stat: str, **dimensions: str) -> float | None:
        named = {"service": self.service, **dimensions}
        length_s = self.minutes * MINUTE_S
        [found] = self.samples.values(
            NAMESPACE, metric.name, named, stat, length_s, self.start, self.start + length_s
        )
        return found


def against_goals(samples: Samples, service: str, *, now: float, since: float) -> Mapping[str, Any]:
    """Every goal's figure in the last fifteen minutes and since `since`, and minute by minute
    for the last hour, this minute included, as plain data."""
    first, last = int(since // MINUTE_S), int(now // MINUTE_S)

    def window(minutes: int, *, ago: int = 0) -> Window:
        start = last - ago - minutes + 1
        return Window(samples, service, start * MINUTE_S, minutes)

    whole = window(last - first + 1)
    recent = window(min(RECENT_MINUTES, whole.minutes))
    each = [window(1, ago=ago) for ago in reversed(range(POINTS))]
    return {
        "at": now,
        "since": since,
        "recent_minutes": recent.minutes,
        "answers": {"recent": recent.answers, "whole": whole.answers},
        "goals": [
            {
                **asdict(goal),
                "recent": recent.figure(goal.key),
                "whole": whole.figure(goal.key),
                "points": [minute.figure(goal.key) for minute in each],
            }
            for goal in GOALS
        ],
    }
