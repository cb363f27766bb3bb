"""The dashboard's picture shows what its graphs would."""

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from infra.cloudformation import ROOT
from steadyrag.monitoring.alarms import Transition
from steadyrag.monitoring.series import Series

sys.path.insert(0, str(ROOT / "scripts"))
from dashboard_drawing import draw
from dashboard_picture import IMAGES, PICTURES, SAID, shown
from dashboard_points import Curve, curves

HOUR = 3600
SERVICE = {"service": "steadyrag"}
START = 1_800_057_600.0


def series(name: str, value: Callable[[int], float], **dimensions: str) -> Series:
    """Six hours with one sample a minute."""
    filled = Series()
    for minute in range(360):
        filled.put("Steadyrag", name, {**dimensions, **SERVICE}, value(minute), START + 60 * minute)
    return filled


def graph(title: str) -> dict[str, Any]:
    widgets = [one for rows in PICTURES.values() for one in shown(rows)]
    found = [w for w in widgets if w["properties"].get("title") == title]
    return found[0]


def drawn(title: str, filled: Series) -> list[Curve]:
    return curves(graph(title)["properties"], filled, START, START + 6 * HOUR)


def picture(title: str, filled: Series, *happened: Transition) -> str:
    return draw(
        [graph(title)],
        filled,
        happened,
        title="A picture",
        said=SAID,
        window=(START, START + 6 * HOUR),
        trouble=(START + HOUR, START + 2 * HOUR),
    )


def heights(drawing: str) -> list[float]:
    """Where the marks are, from top to bottom."""
    return sorted(float(y) for y in re.findall(r'<line class="mark"[^>]* y1="([\d.]+)"', drawing))


def test_a_share_of_answers_is_drawn_in_percent() -> None:
    (held,) = drawn("Answers that were held", series("CacheHit", lambda minute: minute % 4 == 0))
    assert held.values == [25.0] * 6
    assert held.period_s == HOUR


def test_tokens_are_drawn_for_each_model_that_is_in_use() -> None:
    filled = series("PromptTokens", lambda _: 10, model="gpt-6-luna")
    labels = {curve.label: curve.values for curve in drawn("Tokens in an hour, by model", filled)}
    assert labels == {"PromptTokens gpt-6-luna": [600.0] * 6}


def test_what_is_spent_in_an_hour_is_drawn_as_what_a_day_would_cost() -> None:
    hour, quarter = drawn("Cost", series("Cost", lambda _: 0.01))
    assert hour.values == pytest.approx([0.6 * 24] * 6)
    assert quarter.values == pytest.approx([3.6 * 4])


def test_searches_that_break_are_not_served() -> None:
    filled = Series()
    route = {"ApiName": "steadyrag", "Stage": "v1", "Method": "POST", "Resource": "/search"}
    for minute in range(360):
        at = START + 60 * minute
        filled.put("AWS/ApiGateway", "Count", route, 10, at)
        filled.put("AWS/ApiGateway", "5XXError", route, 1 if minute < 60 else 0, at)
    served = drawn("Availability", filled)[0]
    assert served.values == [90.0] * 12 + [100.0] * 60


def test_an_alarm_is_drawn_above_the_goal_that_it_stands_in_for() -> None:
    drawing = picture("Latency, to the answer", series("Latency", lambda _: 900))
    alarm, goal = heights(drawing)
    assert alarm < goal
    assert "answers-slow 8000" in drawing
    assert "goal 4000" in drawing


def test_an_hour_without_data_is_a_gap_in_the_line() -> None:
    filled = Series()
    for minute in [*range(120), *range(240, 360)]:
        filled.put("Steadyrag", "Ready", SERVICE, 1, START + 60 * minute)
    assert picture("Readiness", filled).count('class="curve"') == 2


def test_a_graph_without_data_says_so() -> None:
    assert "nothing on this day" in picture("Feedback", Series())


def test_an_alarm_tells_from_when_to_when_it_was_on() -> None:
    happened = [
        Transition(START + 14 * HOUR + 780, "sources-slow", "OK", "ALARM", ""),
        Transition(START + 14 * HOUR + 1500, "sources-slow", "ALARM", "OK", ""),
    ]
    assert "14:13 to 14:25" in picture("Pages", Series(), *happened)
    assert "14:13" not in picture("Tickets", Series(), *happened)


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_show_the_rows_as_they_are_now(name: str) -> None:
    """Their lines are of a day whose every turn hangs on the code, so only `make dashboard` tells
    whether these are new."""
    drawing = (IMAGES / name).read_text(encoding="utf-8")
    ET.fromstring(drawing)  # noqa: S314 - our own
    widgets = [one["properties"] for one in shown(PICTURES[name])]
    titles = [properties["title"] for properties in widgets if "title" in properties]
    assert re.findall(r'class="graph"[^>]*>([^<]*)<', drawing) == titles, "make dashboard"
    alarms = [arn for properties in widgets for arn in properties.get("alarms", [])]
    named = re.findall(r'class="name">([^<]*)<', drawing)
    assert named == [arn.partition(":alarm:steadyrag-")[2] for arn in alarms], "make dashboard"
    assert "Simulated day" in drawing
    assert re.findall(r"https?://[^\s\"]+", drawing) == ["http://www.w3.org/2000/svg"]
