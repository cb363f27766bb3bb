"""Draws one graph of a dashboard."""

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dashboard_points import Curve
from dashboard_svg import box, line, path, text

PALETTE = ("#2f6fde", "#e07b00", "#2a9d8f", "#9057d8", "#b5651d", "#d65fa6", "#7d8590", "#5aa9e6")
LEFT, RIGHT, TOP, LEGEND_LINE = 36, 10, 26, 12
LETTER = 5.7
"""About as wide as a letter of a legend is in the widest of the fonts."""


class Plot:
    """One graph in its card."""

    def __init__(
        self,
        properties: Mapping[str, Any],
        drawn: Sequence[Curve],
        window: tuple[float, float],
        trouble: tuple[float, float],
        card: tuple[float, float, float, float],
    ) -> None:
        self._said, self._trouble, self._card = properties, trouble, card
        self._start, self._end = window
        x, y, width, height = card
        self._marks = properties.get("annotations", {}).get("horizontal", [])
        palette = itertools.cycle(PALETTE)
        shown = [curve for curve in drawn if _has_something(curve, properties["stacked"])]
        self._curves = [(curve, curve.colour or next(palette)) for curve in shown]
        self._stacked = properties["stacked"]
        self._legend_lines = self._broken()
        self._x, self._width = x + LEFT, width - LEFT - RIGHT
        self._y = y + TOP
        self._height = height - TOP - 22 - LEGEND_LINE * max(1, len(self._legend_lines))
        self._least, self._most = self._range()

    def parts(self) -> Iterator[str]:
        x, y, width, height = self._card
        yield f'<rect class="card" {box(x, y, width, height)} rx="5"/>'
        yield text(x + 8, y + 15, self._said["title"], "graph")
        if not self._curves:
            yield text(x + width / 2, y + height / 2, "nothing on this day", "said", "middle")
            return
        yield from self._axes()
        yield from self._areas() if self._stacked else self._lines()
        yield from self._levels()
        yield from self._legend()

    def _range(self) -> tuple[float, float]:
        axis = self._said["yAxis"]["left"]
        values = [one for curve, _ in self._curves for one in curve.values if one is not None]
        if self._stacked:
            values = [sum(column) for column in self._columns()]
        values += [mark["value"] for mark in self._marks]
        if not values:
            return 0, 1
        if "max" in axis:
            third = math.ceil((axis["max"] - min(values)) * 1.1 / 3)
            return axis["max"] - 3 * third, axis["max"]
        return axis["min"], _round_up(max(values) * 1.05)

    def _columns(self) -> list[list[float]]:
        columns = zip(*(curve.values for curve, _ in self._curves), strict=True)
        return [[one or 0.0 for one in column] for column in columns]

    def _at(self, value: float) -> float:
        share = (value - self._least) / ((self._most - self._least) or 1)
        return self._y + self._height * (1 - share)

    def _when(self, seconds: float) -> float:
        return self._x + self._width * seconds / (self._end - self._start)

    def _axes(self) -> Iterator[str]:
        begins, ends = (self._when(at - self._start) for at in self._trouble)
        place = box(begins, self._y, ends - begins, self._height)
        yield f'<rect class="trouble" {place}/>'
        for step in range(4):
            value = self._least + (self._most - self._least) * step / 3
            y = self._at(value)
            kind = "grid" if step else "axis"
            yield line(kind, self._x, y, self._x + self._width, y)
            yield text(self._x - 5, y + 3, _shown(value), "small", "end")
        below, step = self._y + self._height + 11, 3 if self._width > 150 else 6
        for hour in range(0, int(self._end - self._start) // 3600 + 1, step):
            x, shown = self._when(hour * 3600), time.gmtime(self._start + hour * 3600)
            anchor = "end" if x > self._x + self._width - 1 else "middle"
            yield text(x, below, time.strftime("%H:%M", shown), "small", anchor)
        if unit := self._said["yAxis"]["left"]["label"]:
            x, y, width, _ = self._card
            yield text(x + width - RIGHT, y + 15, unit, "small", "end")

    def _lines(self) -> Iterator[str]:
        for curve, colour in self._curves:
            level = curve.colour and len(set(curve.values)) == 1
            dashed = ' stroke-dasharray="4 3"' if level else ""
            for points in self._runs(curve):
                if len(points) == 1:
                    (x, y) = points[0]
                    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.2" fill="{colour}"/>'
                else:
                    way = path(points)
                    yield f'<path class="curve" d="{way}" stroke="{colour}"{dashed}/>'

    def _runs(self, curve: Curve) -> Iterator[list[tuple[float, float]]]:
        """Points of periods that follow each other, at the middle of each."""
        run: list[tuple[float, float]] = []
        for number, value in enumerate([*curve.values, None]):
            if value is not None:
                run.append((self._when((number + 0.5) * curve.period_s), self._at(value)))
            elif run:
                yield run
                run = []

    def _areas(self) -> Iterator[str]:
        columns = self._columns()
        below = [0.0] * len(columns)
        for place, (curve, colour) in enumerate(self._curves):
            above = [base + column[place] for base, column in zip(below, columns, strict=True)]
            middle = [self._when((number + 0.5) * curve.period_s) for number in range(len(above))]
            there = [(x, self._at(value)) for x, value in zip(middle, above, strict=True)]
            back = [(x, self._at(value)) for x, value in zip(middle, below, strict=True)]
            yield f'<path d="{path([*there, *reversed(back)])}Z" fill="{colour}"/>'
            below = above

    def _levels(self) -> Iterator[str]:
        for mark in self._marks:
            y, colour = self._at(mark["value"]), mark["color"]
            if side := mark.get("fill"):
                top = self._y if side == "above" else y
                height = y - self._y if side == "above" else self._y + self._height - y
                place = box(self._x, top, self._width, max(0.0, height))
                yield f'<rect {place} fill="{colour}" fill-opacity="0.06"/>'
            end = self._x + self._width
            yield line("mark", self._x, y, end, y, f' stroke="{colour}"')
            label = f"{mark['label']} {_shown(mark['value'])}"
            yield text(self._x + 4, y - 3, label, "small", "", f' style="fill:{colour}"')

    def _legend(self) -> Iterator[str]:
        x, y, _, height = self._card
        for number, labels in enumerate(reversed(self._legend_lines)):
            left, below = x + 8, y + height - 7 - LEGEND_LINE * number
            for label, colour in labels:
                yield f'<rect {box(left, below - 7, 8, 8)} rx="2" fill="{colour}"/>'
                yield text(left + 11, below, label)
                left += 18 + LETTER * len(label)

    def _broken(self) -> list[list[tuple[str, str]]]:
        """The legend's lines: labels and colours."""
        lines: list[list[tuple[str, str]]] = []
        room = 0.0
        for curve, colour in self._curves:
            wide = 18 + LETTER * len(curve.label)
            if wide > room:
                lines.append([])
                room = self._card[2] - 8
            lines[-1].append((curve.label, colour))
            room -= wide
        return lines


def _has_something(curve: Curve, stacked: bool) -> bool:
    return any(one is not None and (one or not stacked) for one in curve.values)


def _round_up(value: float) -> float:
    """To a number that a third of is round, too."""
    if value <= 0:
        return 3
    size = 10.0 ** math.floor(math.log10(value))
    return next(
        size * one for one in (1.2, 1.5, 1.8, 2.4, 3, 4.5, 6, 7.5, 9, 12) if size * one >= value
    )


def _shown(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
