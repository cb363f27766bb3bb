"""How figures are held against goals, and that the goals are those of the alarms."""

from pathlib import Path

import pytest

from steadyrag.goals import GOALS, against_goals
from steadyrag.monitoring.alarms import MetricAlarm
from steadyrag.monitoring.series import Series
from steadyrag.monitoring.template import read_alarms

ROOT = Path(__file__).parents[2]
NOW = 1_000_020.0 * 60 + 30
TIMES = {"share": 100.0, "usd_per_day": 1.0, "per_hour": 1.0, "ms": 1.0, "score": 1.0}
"""What an alarm's figure is of ours."""


class World:
    def __init__(self) -> None:
        self.series = Series()

    def put(self, name: str, *values: float, ago_s: float = 0, **dimensions: str) -> None:
        for value in values:
            named = {"service": "mine", **dimensions}
            self.series.put("Steadyrag", name, named, value, NOW - ago_s)

    def shown(self, *, since: float = NOW - 7200) -> dict[str, dict]:
        found = against_goals(self.series, "mine", now=NOW, since=since)
        return {goal["key"]: goal for goal in found["goals"]} | {"answers": found["answers"]}


def test_the_last_minutes_are_told_from_the_whole_time():
    world = World()
    world.put("Latency", 100, 200, 300)
    world.put("Latency", 9000, ago_s=3600)
    shown = world.shown()
    assert shown["total_p50"]["recent"] == 200
    assert shown["total_p50"]["whole"] == 250
    assert shown["total_p99"]["whole"] > 8000
    assert shown["total_p50"]["points"][-1] == 200
    assert shown["total_p50"]["points"][-2] is None


def test_polite_sentences_count_as_errors_with_requests_that_broke():
    world = World()
    world.put("Requests", *[1] * 6, mode="full")
    world.put("Requests", 1, mode="canned")
    world.put("Errors", 1)
    shown = world.shown()
    assert shown["errors"]["recent"] == pytest.approx(2 / 8)
    assert shown["answers"] == {"recent": 7, "whole": 7}


def test_shares_and_means_are_averages():
    world = World()
    world.put("Degraded", 0, 0, 0, 1)
    world.put("CacheHit", 1, 0)
    world.put("TopRelevance", 0.9, 0.5)
    shown = world.shown()
    figures = [shown[key]["recent"] for key in ("degraded", "cache_hits", "top_1")]
    assert figures == pytest.approx([0.25, 0.5, 0.7])


def test_cost_and_calls_are_what_they_would_come_to_at_this_pace():
    world = World()
    world.put("Requests", 1, mode="full")
    world.put("Cost", 0.3)
    world.put("EmbeddingCalls", *[1] * 30)
    shown = world.shown()
    assert shown["cost"]["recent"] == pytest.approx(0.3 * 24 * 4)
    assert shown["embedding_calls"]["recent"] == 120
    young = world.shown(since=NOW - 100)
    assert young["embedding_calls"]["whole"] == pytest.approx(30 * 3600 / 180)


def test_nothing_recorded_is_no_figure_rather_than_a_good_one():
    shown = World().shown()
    assert {goal["recent"] for key, goal in shown.items() if key != "answers"} == {None}


@pytest.mark.parametrize("goal", [goal for goal in GOALS if goal.alarm_name], ids=lambda g: g.key)
def test_the_alarms_line_is_the_templates(goal):
    [alarm] = [a for a in read_alarms(ROOT / "template.yaml") if a.name == goal.alarm_name]
    assert isinstance(alarm, MetricAlarm)
    assert alarm.threshold == pytest.approx(goal.alarm * TIMES[goal.unit])
    assert alarm.comparison.startswith("Greater" if goal.better == "lower" else "Less")
