"""Metric samples over time, and their statistics as CloudWatch defines them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RESOLUTION_S = 60
"""Samples are kept by the minute, as CloudWatch keeps metrics of standard resolution."""

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,10})?|100)")

type Key = tuple[str, str, frozenset[tuple[str, str]]]


class BadDocument(ValueError):
    """A line that says it is EMF, and that CloudWatch would not make metrics of."""


@dataclass(frozen=True, slots=True)
class MetricName:
    """What tells one metric from another: CloudWatch never adds up over dimensions by itself."""

    namespace: str
    name: str
    dimensions: Mapping[str, str]


@dataclass(slots=True)
class _Minute:
    values: list[float] = field(default_factory=list)
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf

    def add(self, value: float) -> None:
        self.values.append(value)
        self.total += value
        self.least = min(self.least, value)
        self.most = max(self.most, value)


class Series:
    """Samples of any number of metrics. Times are epoch seconds."""

    def __init__(self) -> None:
        self._kept: dict[Key, dict[int, _Minute]] = {}

    def put(
        self, namespace: str, name: str, dimensions: Mapping[str, str], value: float, at: float
    ) -> None:
        """One sample. Raises `ValueError` for a value that is no finite number."""
        if not math.isfinite(value):
            raise ValueError(f"{name}: {value} is no value of a metric")
        minutes = self._kept.setdefault(_key(namespace, name, dimensions), {})
        minute = int(at // RESOLUTION_S)
        if (held := minutes.get(minute)) is None:
            held = minutes[minute] = _Minute()
        held.add(float(value))

    def add_emf(self, document: Mapping[str, Any], at: float | None = None) -> None:
        """All samples of one document in CloudWatch's embedded metric format, at its own time
        or at `at`. Raises `BadDocument`."""
        for name, value, when in _samples(document, at):
            self.put(name.namespace, name.name, name.dimensions, value, when)

    def values(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str],
        stat: str,
        period_s: int,
        start: float,
        end: float,
        *,
        seen_until: float = math.inf,
    ) -> list[float | None]:
        """The statistic of each period from `start` to `end`, oldest first; None for a period
        without samples. `stat` is Sum, Average, Minimum, Maximum, SampleCount or pNN. Minutes
        that end after `seen_until` count as without samples.

        Periods begin at `start`, which is a whole minute, as they do when an alarm looks back
        from now; graphs in the console begin at whole periods.
        """
        if period_s <= 0 or period_s % RESOLUTION_S:
            raise ValueError(f"a period of {period_s} s: it must be a multiple of {RESOLUTION_S}")
        check_statistic(stat)
        minutes = self._kept.get(_key(namespace, name, dimensions))
        periods = int((end - start) // period_s)
        if not minutes:
            return [None] * periods
        first, width = int(start // RESOLUTION_S), period_s // RESOLUTION_S
        begins = range(first, first + periods * width, width)
        last = min(seen_until, end) // RESOLUTION_S
        return [_statistic(stat, _held(minutes, begin, width, last)) for begin in begins]

    def metrics(self) -> Iterator[MetricName]:
        """Every metric that has a sample."""
        for namespace, name, dimensions in list(self._kept):
            yield MetricName(namespace, name, dict(sorted(dimensions)))

    def forget(self, before: float) -> None:
        """Drops what was sampled before that time, for those who keep one for long."""
        oldest = int(before // RESOLUTION_S)
        for key, minutes in list(self._kept.items()):
            for minute in [minute for minute in minutes if minute < oldest]:
                del minutes[minute]
            if not minutes:
                del self._kept[key]


def _key(namespace: str, name: str, dimensions: Mapping[str, str]) -> Key:
    return namespace, name, frozenset(dimensions.items())


def _held(minutes: Mapping[int, _Minute], begin: int, width: int, last: float) -> list[_Minute]:
    """What there is of these minutes before the minute `last`."""
    if width == 1:
        found = minutes.get(begin) if begin < last else None
        return [] if found is None else [found]
    return [
        minutes[minute]
        for minute in range(begin, begin + width)
        if minute in minutes and minute < last
    ]


def check_statistic(stat: str) -> None:
    """Raises `ValueError` for one that is not known here."""
    if stat not in _STATISTICS and not _PERCENTILE.fullmatch(stat):
        known = ", ".join(_STATISTICS)
        raise ValueError(f"the statistic {stat} is not known here: {known} and pNN are")


def _statistic(stat: str, held: Sequence[_Minute]) -> float | None:
    if not held:
        return None
    if known := _STATISTICS.get(stat):
        return known(held)
    ordered = sorted(value for minute in held for value in minute.values)
    return percentile(ordered, float(stat[1:]))


def _count(held: Sequence[_Minute]) -> float:
    return float(sum(len(minute.values) for minute in held))


def _sum(held: Sequence[_Minute]) -> float:
    return math.fsum(minute.total for minute in held)


_STATISTICS: dict[str, Callable[[Sequence[_Minute]], float]] = {
    "Sum": _sum,
    "Average": lambda held: _sum(held) / _count(held),
    "Minimum": lambda held: min(minute.least for minute in held),
    "Maximum": lambda held: max(minute.most for minute in held),
    "SampleCount": _count,
}


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Between the two nearest ranks in proportion (Hyndman and Fan's type 7, 1996). CloudWatch
    does not say which estimate it uses; all lie between the same two samples."""
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _samples(
    document: Mapping[str, Any], at: float | None
) -> Iterator[tuple[MetricName, float, float]]:
    """Every value under every one of its sets of dimensions."""
    try:
        metadata = document["_aws"]
        when = metadata["Timestamp"] / 1000 if at is None else at
        for directive in metadata["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: document[name] for name in names}
                if not all(isinstance(value, str) for value in dimensions.values()):
                    raise BadDocument(f"{dimensions}: the value of a dimension is text")
                for metric in directive["Metrics"]:
                    name = MetricName(directive["Namespace"], metric["Name"], dimensions)
                    for value in _numbers(document[metric["Name"]]):
                        yield name, value, when
    except (KeyError, TypeError) as error:
        raise BadDocument(f"no EMF document: {type(error).__name__} {error}") from None


def _numbers(value: Any) -> list[float]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
        raise BadDocument(f"{value!r} is neither a number nor a list of numbers")
    return values
