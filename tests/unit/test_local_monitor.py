"""What the console says of alarms: what they would say in AWS, or that they can't know here."""

import asyncio
from collections.abc import Mapping
from typing import Any

from steadyrag.domain.ports import IndexStatus
from steadyrag.health import Readiness
from steadyrag.monitoring.alarms import CompositeAlarm, Metric, MetricAlarm
from steadyrag.telemetry import metrics
from steadyrag.wiring.console import KEEP_S, LocalMonitor

START = 1_000_000.0 * 60


def alarm(name: str, metric: str = "Latency", namespace: str = "Steadyrag", **changes: Any):
    watched = Metric("m1", namespace, metric, {"service": "mine"}, "Average")
    values: dict[str, Any] = {
        "name": name,
        "full_name": f"mine-{name}",
        "description": f"{name}. Runbook: {name}.md",
        "metrics": [watched],
        "period_s": 60,
        "evaluation_periods": 3,
        "datapoints_to_alarm": 1,
        "threshold": 100,
        "comparison": "GreaterThanThreshold",
        "missing": "notBreaching",
        "actions": ("mine-page",),
    }
    return MetricAlarm(**(values | changes))


class World:
    def __init__(self, *alarms: MetricAlarm | CompositeAlarm) -> None:
        self.now = START
        self.monitor = LocalMonitor(service="mine", alarms=alarms, clock=lambda: self.now)

    def latency(self, value: float) -> None:
        self.monitor.listen(
            {
                "_aws": {
                    "Timestamp": self.now * 1000,
                    "CloudWatchMetrics": [
                        {
                            "Namespace": "Steadyrag",
                            "Dimensions": [["service"]],
                            "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}],
                        }
                    ],
                },
                "service": "mine",
                "Latency": [value],
            }
        )

    def shown(self, name: str) -> dict[str, Any]:
        return next(one for one in self.monitor.alarms()["alarms"] if one["name"] == name)


def test_an_alarm_says_what_it_would_say_in_aws_and_since_when():
    world = World(alarm("slow"))
    world.monitor.look()
    world.latency(900)
    world.now += 60
    shown = world.shown("slow")
    assert (shown["state"], shown["since"]) == ("ALARM", START + 60)
    assert "900" in shown["reason"]
    assert (shown["tells"], shown["needs"], shown["runbook"]) == (["page"], [], False)


def test_an_alarm_on_awss_own_metrics_knows_nothing_here():
    world = World(alarm("throttled", "Throttles", "AWS/Lambda"))
    assert world.shown("throttled")["needs"] == ["AWS/Lambda Throttles"]


def test_an_alarm_on_what_a_stacks_schedules_bring_knows_nothing_here():
    world = World(alarm("late", "ReportAge"))
    assert world.shown("late")["needs"] == ["Steadyrag ReportAge"]


def test_silence_means_something_only_after_somebody_listened():
    world = World(alarm("ready", missing="breaching"))
    assert world.shown("ready")["too_early"]
    assert world.shown("ready")["needs"] == ["Steadyrag Latency"]
    world.latency(1)
    world.now += 300
    assert not world.shown("ready")["too_early"]
    assert world.shown("ready")["state"] == "ALARM"


def test_what_never_happened_is_well_where_silence_is_well():
    world = World(alarm("opened", "CircuitOpened"))
    assert world.shown("opened")["needs"] == []
    assert world.shown("opened")["state"] == "OK"


def test_an_alarm_on_alarms_is_shown_too():
    world = World(alarm("slow"), CompositeAlarm("down", "mine-down", "", 'ALARM("mine-slow")'))
    world.latency(900)
    world.now += 60
    assert world.shown("down")["state"] == "ALARM"


def test_a_server_that_runs_for_long_forgets():
    world = World()
    world.latency(1)
    world.now += KEEP_S + 120
    world.latency(2)
    world.monitor.look()
    latency = next(g for g in world.monitor.metrics()["goals"] if g["key"] == "total_p50")
    assert latency["whole"] == 2
    assert world.monitor.metrics()["since"] > START


def test_outside_of_a_checkout_there_are_no_alarms():
    assert World().monitor.alarms()["read"] is False


async def test_readiness_is_asked_as_the_schedule_of_a_stack_asks():
    async def reachable() -> IndexStatus:
        return IndexStatus(ready=True, chunks=3)

    monitor = LocalMonitor(service="steadyrag", readiness=Readiness({"index": reachable}))
    heard = asyncio.Event()

    def listen(document: Mapping[str, Any]) -> None:
        monitor.listen(document)
        heard.set()

    metrics.subscribe(listen)
    working = asyncio.create_task(monitor.work())
    try:
        async with asyncio.timeout(5):
            await heard.wait()
        assert ("Steadyrag", "Ready") in monitor.heard_of()
    finally:
        metrics.subscribe(None)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
