"""Alarms over metrics, watched minute by minute."""

import pytest

from steadyrag.monitoring.alarms import CompositeAlarm, Metric, MetricAlarm, Watch
from steadyrag.monitoring.rule import BadRule, parse_rule
from steadyrag.monitoring.series import Series

START = 1_800_000_000.0 // 60 * 60


def alarm(name="slow", **changes):
    values = {
        "name": name,
        "full_name": f"stack-{name}",
        "description": "Users wait.",
        "metrics": [Metric("m1", "Steadyrag", "Latency", {}, "Maximum", 60)],
        "period_s": 60,
        "evaluation_periods": 3,
        "datapoints_to_alarm": 2,
        "threshold": 100.0,
        "comparison": "GreaterThanThreshold",
        "missing": "notBreaching",
        "actions": ("page",),
    }
    return MetricAlarm(**(values | changes))


class Rig:
    def __init__(self, *alarms):
        self.series = Series()
        self.watch = Watch(alarms, self.series)
        self.now = START

    def minute(self, value=None, name="Latency", **dimensions):
        """The states after a minute with this sample, or none."""
        if value is not None:
            self.series.put("Steadyrag", name, dimensions, value, self.now + 30)
        self.now += 60
        return self.watch.evaluate(self.now)


def test_two_of_three_fire_and_two_better_ones_clear():
    rig = Rig(alarm())
    states = [rig.minute(value)["slow"] for value in (50, 150, 50, 150, 50, 50, 50)]
    assert states == ["OK", "OK", "OK", "ALARM", "OK", "OK", "OK"]
    assert [(one.old, one.new) for one in rig.watch.transitions] == [
        ("INSUFFICIENT_DATA", "OK"),
        ("OK", "ALARM"),
        ("ALARM", "OK"),
    ]


def test_a_minute_is_judged_when_it_is_over():
    rig = Rig(alarm(evaluation_periods=1, datapoints_to_alarm=1))
    rig.series.put("Steadyrag", "Latency", {}, 500, START + 10)
    assert rig.watch.evaluate(START + 59) == {"slow": "OK"}
    assert rig.watch.evaluate(START + 60) == {"slow": "ALARM"}


def test_a_sample_that_is_on_its_way_is_not_seen():
    series = Series()
    late = Watch([alarm(evaluation_periods=1, datapoints_to_alarm=1)], series, delay_s=120)
    series.put("Steadyrag", "Latency", {}, 500, START + 10)
    seen = [late.evaluate(START + 60 * minute)["slow"] for minute in (1, 2, 3)]
    assert seen == ["OK", "OK", "ALARM"]


def test_silence_that_is_only_lateness_is_no_failure():
    checks = alarm(comparison="LessThanThreshold", threshold=1.0, missing="breaching")
    series = Series()
    late = Watch([checks], series, delay_s=120)
    for minute in range(10):
        series.put("Steadyrag", "Latency", {}, 1, START + 60 * minute + 30)
        states = late.evaluate(START + 60 * (minute + 1))
    assert states == {"slow": "OK"}


def test_a_longer_period_is_looked_at_every_minute_from_now_backwards():
    metric = Metric("m1", "Steadyrag", "Latency", {}, "Sum", 300)
    rig = Rig(alarm(metrics=[metric], period_s=300, evaluation_periods=1, datapoints_to_alarm=1))
    states = [rig.minute(30)["slow"] for _ in range(4)]
    assert states == ["OK", "OK", "OK", "ALARM"]


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        ("GreaterThanThreshold", {101}),
        ("GreaterThanOrEqualToThreshold", {100, 101}),
        ("LessThanThreshold", {99}),
        ("LessThanOrEqualToThreshold", {99, 100}),
    ],
)
def test_thresholds_are_compared(comparison, breaching):
    for value in (99, 100, 101):
        rig = Rig(alarm(comparison=comparison, evaluation_periods=1, datapoints_to_alarm=1))
        assert (rig.minute(value)["slow"] == "ALARM") == (value in breaching)


def test_silence_may_be_a_failure():
    rig = Rig(alarm(missing="breaching", evaluation_periods=5, datapoints_to_alarm=3))
    for _ in range(10):
        rig.minute(1)
    states = [rig.minute()["slow"] for _ in range(6)]
    assert states == ["OK", "OK", "OK", "OK", "ALARM", "ALARM"]


def test_silence_may_leave_everything_as_it_was():
    rig = Rig(alarm(missing="ignore", evaluation_periods=1, datapoints_to_alarm=1))
    rig.minute(500)
    assert [rig.minute()["slow"] for _ in range(5)] == ["ALARM"] * 5


def test_what_is_missing_of_dynamodb_is_ignored_whatever_the_alarm_says():
    metric = Metric("m1", "AWS/DynamoDB", "ThrottledRequests", {}, "Sum", 60)
    one = alarm(metrics=[metric], missing="breaching", evaluation_periods=1, datapoints_to_alarm=1)
    assert Rig(one).minute() == {"slow": "INSUFFICIENT_DATA"}


def test_an_expression_is_worked_out_of_metrics_and_of_other_expressions():
    def of(id_, name, stat="Sum"):
        return Metric(id_, "Steadyrag", name, {}, stat, 60, returns=False)

    one = alarm(
        threshold=10,
        evaluation_periods=1,
        datapoints_to_alarm=1,
        metrics=[
            Metric("percent", expression="IF(broken >= 2, 100 * broken / requests, 0)"),
            Metric("broken", expression="FILL(errors, 0) + FILL(lost, 0)", returns=False),
            of("errors", "Errors"),
            of("lost", "Lost"),
            of("requests", "Requests"),
        ],
    )
    rig = Rig(one)
    assert rig.minute(10, "Requests") == {"slow": "OK"}
    rig.series.put("Steadyrag", "Errors", {}, 1, rig.now)
    assert rig.minute(5, "Requests") == {"slow": "OK"}
    rig.series.put("Steadyrag", "Errors", {}, 1, rig.now)
    rig.series.put("Steadyrag", "Lost", {}, 1, rig.now)
    assert rig.minute(10, "Requests") == {"slow": "ALARM"}


def test_a_percentile_of_few_samples_may_be_left_alone():
    metric = Metric("m1", "Steadyrag", "Latency", {}, "p90", 60)
    few = alarm(metrics=[metric], low_samples="ignore", evaluation_periods=1, datapoints_to_alarm=1)
    rig = Rig(few)
    assert rig.minute(500) == {"slow": "INSUFFICIENT_DATA"}
    for _ in range(99):
        rig.series.put("Steadyrag", "Latency", {}, 500, rig.now)
    assert rig.minute(500) == {"slow": "ALARM"}


def test_the_reason_says_what_a_page_should():
    rig = Rig(alarm())
    rig.minute(150.0)
    rig.minute(250.0)
    reason = rig.watch.transitions[-1].reason
    assert reason == (
        "Threshold Crossed: 2 out of the last 3 datapoints [250.0 (15/01/27 08:01:00), "
        "150.0 (15/01/27 08:00:00)] were greater than the threshold (100.0) "
        "(minimum 2 datapoints for OK -> ALARM transition)."
    )


def test_a_composite_alarm_follows_those_it_asks_in_the_same_minute():
    down = CompositeAlarm(
        "down", "stack-down", "", 'ALARM("stack-slow") AND NOT OK(stack-old)', ("page",)
    )
    old = alarm("old", metrics=[Metric("m1", "Steadyrag", "Age", {}, "Maximum", 60)])
    rig = Rig(down, alarm(), old)
    for _ in range(3):
        rig.series.put("Steadyrag", "Age", {}, 500, rig.now)
        states = rig.minute(500)
    assert states == {"slow": "ALARM", "old": "ALARM", "down": "ALARM"}
    assert "stack-slow is ALARM" in rig.watch.transitions[-1].reason


def test_a_composite_alarm_may_ask_another():
    first = CompositeAlarm("first", "stack-first", "", "NOT ALARM(stack-slow)")
    second = CompositeAlarm("second", "stack-second", "", "OK(stack-first)")
    assert Rig(second, first, alarm()).minute(1) == {
        "slow": "OK",
        "first": "ALARM",
        "second": "OK",
    }


def test_a_composite_alarm_that_asks_for_nobody_there_is_refused():
    down = CompositeAlarm("down", "stack-down", "", "ALARM(stack-gone)")
    with pytest.raises(ValueError, match="stack-gone"):
        Watch([down], Series())


STATES = {"a": "ALARM", "b": "OK", "c": "INSUFFICIENT_DATA"}


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("ALARM(a)", True),
        ('OK("a")', False),
        ("INSUFFICIENT_DATA('c')", True),
        ("ALARM(a) AND ALARM(b)", False),
        ("ALARM(a) OR ALARM(b)", True),
        ("ALARM(a) OR ALARM(b) AND ALARM(c)", True),
        ("(ALARM(a) OR ALARM(b)) AND ALARM(c)", False),
        ("NOT ALARM(b) AND OK(b)", True),
        ("NOT (ALARM(a) AND OK(b))", False),
        ("TRUE", True),
        ("FALSE OR ALARM(arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a)", True),
    ],
)
def test_rules_are_read(rule, holds):
    assert parse_rule(rule)[0](STATES) is holds


@pytest.mark.parametrize("rule", ["", "ALARM()", "ALARM(a) ALARM(b)", "(OK(a)", "BROKEN(a)", "NOT"])
def test_a_rule_that_makes_no_sense_is_refused(rule):
    with pytest.raises(BadRule):
        parse_rule(rule)


@pytest.mark.parametrize(
    "changes",
    [
        {"comparison": "GreaterThanUpperThreshold"},
        {"missing": "sometimes"},
        {"datapoints_to_alarm": 4},
        {"period_s": 86_400},
        {"metrics": []},
        {"metrics": [Metric("e1", expression="e2"), Metric("e2", expression="e1", returns=False)]},
    ],
)
def test_an_alarm_that_can_not_be_judged_is_refused(changes):
    with pytest.raises(ValueError, match=r"stack-slow|no metric"):
        alarm(**changes)
