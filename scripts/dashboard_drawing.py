"""Draws a dashboard as SVG, about as CloudWatch's console shows it in its light theme."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from dashboard_graphs import COLUMNS
from dashboard_plot import Plot
from dashboard_points import curves
from dashboard_svg import box, text

from steadyrag.monitoring.alarms import Transition
from steadyrag.monitoring.series import Series

WIDTH, MARGIN, GAP = 960, 12, 8
UNIT = (WIDTH - 2 * MARGIN) / COLUMNS
HEAD = 50
HEIGHTS: Mapping[str, int] = {"text": 40, "alarm": 118, "metric": 196}

STYLE = """
text { font-family: system-ui, -apple-system, "Segoe UI", "Noto Sans KR", sans-serif;
  font-size: 9.5px; fill: #57606a; }
text.title { font-size: 16px; font-weight: 600; fill: #1f2328; }
text.row { font-size: 14px; font-weight: 600; fill: #1f2328; }
text.graph { font-size: 10.2px; font-weight: 600; fill: #1f2328; }
text.said { font-size: 11px; }
text.small { font-size: 8.5px; }
text.name { font-size: 9px; }
text.fired { fill: #a40e26; font-weight: 600; }
.page { fill: #f6f8fa; stroke: #d0d7de; }
.card { fill: #ffffff; stroke: #d8dee4; }
.grid { stroke: #eaeef2; }
.axis { stroke: #afb8c1; }
.trouble { fill: #fff8c5; }
.curve { fill: none; stroke-width: 1.3; stroke-linejoin: round; }
.mark { stroke-width: 1.1; stroke-dasharray: 4 3; }
.quiet { fill: #dafbe1; stroke: #aceebb; }
.alarm { fill: #ffd7d5; stroke: #f1a39d; }
"""


def draw(
    widgets: Sequence[Mapping[str, Any]],
    series: Series,
    transitions: Sequence[Transition],
    *,
    title: str,
    said: str,
    window: tuple[float, float],
    trouble: tuple[float, float],
) -> str:
    """The widgets, over the window; `trouble` is shaded. What an alarm did in it stands where the
    console shows how it is now."""
    bands, height = _bands(widgets)
    parts = [
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        text(MARGIN, 24, title, "title"),
        text(MARGIN, 40, said, "said"),
    ]
    for widget in widgets:
        x, y = MARGIN + widget["x"] * UNIT, bands[widget["y"]]
        width = widget["width"] * UNIT
        inner = (x + GAP / 2, y, width - GAP, HEIGHTS[widget["type"]] - GAP)
        properties = widget["properties"]
        match widget["type"]:
            case "text":
                parts += _heading(properties["markdown"], x + GAP / 2, y)
            case "alarm":
                parts += _states(properties, transitions, *inner)
            case "metric":
                drawn = curves(properties, series, *window)
                parts += Plot(properties, drawn, window, trouble, inner).parts()
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _bands(widgets: Sequence[Mapping[str, Any]]) -> tuple[Mapping[int, int], int]:
    """Where each line of widgets begins, by its place in the dashboard, and where all end."""
    kinds = {widget["y"]: widget["type"] for widget in widgets}
    bands, y = {}, HEAD
    for place in sorted(kinds):
        bands[place] = y
        y += HEIGHTS[kinds[place]]
    return bands, y + MARGIN


def _heading(markdown: str, x: float, y: float) -> Iterator[str]:
    """A row's name and question, without its links."""
    name, _, rest = markdown.partition("\n")
    question = rest.partition(" Runbooks:")[0]
    yield text(x, y + 26, name.removeprefix("## "), "row")
    yield text(x + 18 + 8.2 * len(name.removeprefix("## ")), y + 26, question, "said")


def _states(
    properties: Mapping[str, Any],
    transitions: Sequence[Transition],
    x: float,
    y: float,
    width: float,
    height: float,
) -> Iterator[str]:
    yield f'<rect class="card" {box(x, y, width, height)} rx="5"/>'
    yield text(x + 8, y + 15, properties["title"], "graph")
    names = [arn.rpartition(":steadyrag-")[2] for arn in properties["alarms"]]
    columns = math.ceil(len(names) / 3)
    tile = (width - 10) / columns
    for number, name in enumerate(names):
        left, top = x + 6 + number % columns * tile, y + 22 + number // columns * 28.5
        times = _fired(name, transitions)
        kind = "alarm" if times else "quiet"
        yield f'<rect class="{kind}" {box(left, top, tile - 4, 25)} rx="3"/>'
        yield text(left + 4, top + 11, name, "name")
        yield text(left + 4, top + 20.5, times or "quiet", "small fired" if times else "small")


def _fired(name: str, transitions: Sequence[Transition]) -> str:
    """From when to when, for the first time."""
    mine = [one for one in transitions if one.name == name and "ALARM" in (one.old, one.new)]
    return " to ".join(time.strftime("%H:%M", time.gmtime(one.at)) for one in mine[:2])
