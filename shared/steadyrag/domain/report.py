"""The report of one day as people read it: plain text, beside the day before and a week before."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

type Kind = Literal["count", "ms", "seconds", "percent", "share", "dollars"]
"""`percent` of a hundred, `share` of one."""

type Value = float | str | None
"""A text where there is something to say instead of a figure; None where nothing was measured."""

WIDTH = 88
MOST_LINES = 60
MOST_ALARM_LINES = 4

_LABEL, _FIGURE, _CHANGE = 29, 15, 9


@dataclass(frozen=True, slots=True)
class Line:
    """`values` of the day, of the day before, and of the day a week before."""

    label: str
    kind: Kind
    values: tuple[Value, Value, Value]


@dataclass(frozen=True, slots=True)
class Report:
    """The last of `sections` is about alarms. `alarms` says how often each went off on the day;
    None where that is not known any more. `skipped` are the first and the last of the days before
    of which no report was sent, if there are any."""

    service: str
    day: date
    zone: str
    sections: Sequence[Sequence[Line]]
    alarms: Mapping[str, int] | None
    skipped: tuple[date, date] | None = None

    @property
    def subject(self) -> str:
        return f"{self.service}: report of {self.day}"

    def text(self) -> str:
        """At most `MOST_LINES` lines, none longer than `WIDTH`."""
        title = f"{self.service}: {self.day:%A}, {self.day} ({self.zone})"
        lines = [title, *self._not_sent(), "", self._head()]
        for section in self.sections:
            lines += [*map(_shown, section), ""]
        return "\n".join([*lines[:-1], *self._alarms()]) + "\n"

    def _not_sent(self) -> Iterator[str]:
        if self.skipped is not None:
            first, last = self.skipped
            days = f"{first}" if first == last else f"{first} to {last}"
            yield f"no report was sent of {days}: steadyrag report --date"

    def _head(self) -> str:
        days = compared(self.day)
        first, *others = (f"{day:%a} {day.day} {day:%b}" for day in days)
        columns = "".join(f"{other:>{_FIGURE}}{'':{_CHANGE}}" for other in others)
        return f"{'':{_LABEL}}{first:>{_FIGURE}}{columns}".rstrip()

    def _alarms(self) -> Iterator[str]:
        if self.alarms is None:
            yield "went off: not known any more"
            return
        went_off = sorted(self.alarms.items(), key=lambda one: (-one[1], one[0]))
        said = ", ".join(f"{name} {times} ×" for name, times in went_off) or "none"
        yield from textwrap.wrap(
            f"went off: {said}",
            WIDTH,
            subsequent_indent="  ",
            max_lines=MOST_ALARM_LINES,
            placeholder=" …",
            break_on_hyphens=False,
        )


def compared(day: date) -> tuple[date, date, date]:
    """The day, the one before, and the same day of the week before."""
    return day, day - timedelta(days=1), day - timedelta(days=7)


def _shown(line: Line) -> str:
    day, *others = line.values
    columns = "".join(
        f"{_figure(other, line.kind):>{_FIGURE}}{_change(day, other, line.kind):>{_CHANGE}}"
        for other in others
    )
    label = line.label if len(line.label) < _LABEL else f"{line.label[: _LABEL - 2]}…"
    return f"{label:{_LABEL}}{_figure(day, line.kind):>{_FIGURE}}{columns}".rstrip()


def _figure(value: Value, kind: Kind) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    match kind:
        case "count":
            return f"{value:,.0f}"
        case "ms":
            return f"{value:,.0f} ms"
        case "seconds":
            return f"{value:,.0f} s"
        case "percent":
            return f"{value:,.2f} %"
        case "share":
            return f"{value:.3f}"
        case "dollars":
            return f"${value:,.2f}"


def _change(now: Value, then: Value, kind: Kind) -> str:
    """In percent of what it was; of shares the difference, in what they are counted in."""
    if not isinstance(now, float | int) or not isinstance(then, float | int):
        return ""
    if now == then:
        return ""
    if kind in ("percent", "share"):
        return f"{now - then:+.{2 if kind == 'percent' else 3}f}"
    if not then:
        return ""
    percent = 100 * (now - then) / then
    return f"{percent:+.0f} %" if abs(percent) < 1000 else "> ×10"
