"""What the alarm on the daily report says of a new stack, of one that is well, and of bad days.

The hours are those of a service whose metrics are what the report's own rules say they are.
"""

from datetime import datetime
from typing import get_args

import pytest

from infra.cloudformation import ROOT
from steadyrag.domain.local_days import time_zone
from steadyrag.monitoring.alarms import Watch
from steadyrag.monitoring.metric_functions import Unfilled
from steadyrag.monitoring.series import Series
from steadyrag.monitoring.template import read_alarms

NAME = "report-missing"
STACK = {"service": "steadyrag"}
BERLIN = time_zone("Europe/Berlin")
EVERY = 6
"""Minutes between two looks at the alarm; CloudWatch looks each minute, which takes long here."""


class Stack:
    """Hours one after the other. A report is sent at 7:17 in Berlin unless `sends` is off."""

    def __init__(self, unfilled: Unfilled, *, made: str = "2026-11-24T12:40Z") -> None:
        alarms = [one for one in read_alarms(ROOT / "template.yaml") if one.name == NAME]
        self._series = Series()
        self._watch = Watch(alarms, self._series, unfilled=unfilled)
        self._now = datetime.fromisoformat(made).timestamp()
        self._sent: float | None = None
        self._on = False
        self.sends = self.runs = self.checks = True

    def minute(self) -> bool:
        """Whether the alarm is on after it."""
        self._now += 60
        local = datetime.fromtimestamp(self._now, BERLIN)
        if self.checks:
            self._series.put("Steadyrag", "Ready", STACK, 1, self._now - 30)
        if local.minute == 17 and self.runs:
            if self.sends and local.hour == 7:
                self._sent = self._now
            age = 0.0 if self._sent is None else (self._now - self._sent) / 3600
            self._series.put("Steadyrag", "ReportAge", STACK, age, self._now - 30)
        if not local.minute % EVERY:
            self._on = self._watch.evaluate(self._now)[NAME] == "ALARM"
        return self._on

    def hours(self, count: int) -> list[bool]:
        """Whether it was on in each of them, at any minute."""
        return [True in [self.minute() for _ in range(60)] for _ in range(count)]

    def until(self, hour: int) -> None:
        """To the next full hour of that number in Berlin."""
        while (local := datetime.fromtimestamp(self._now, BERLIN)).hour != hour or local.minute:
            self.minute()


@pytest.fixture(params=get_args(Unfilled.__value__))
def unfilled(request: pytest.FixtureRequest) -> Unfilled:
    return request.param


@pytest.mark.parametrize("minute", range(0, 60, 7))
def test_a_new_stack_is_missing_nothing(unfilled: Unfilled, minute: int) -> None:
    stack = Stack(unfilled, made=f"2026-11-24T12:{minute:02}Z")
    assert not any(stack.hours(30))


@pytest.mark.parametrize("made", ["2026-10-23T12:40Z", "2026-03-27T12:40Z"])
def test_neither_is_one_whose_clocks_change(unfilled: Unfilled, made: str) -> None:
    assert not any(Stack(unfilled, made=made).hours(4 * 24))


def test_a_report_that_is_not_sent_is_a_ticket_before_noon(unfilled: Unfilled) -> None:
    stack = Stack(unfilled)
    stack.hours(24)
    stack.sends = False
    stack.until(7)
    on = stack.hours(6)
    assert on[:2] == [False, False]
    assert on[4:] == [True, True]


def test_it_is_over_when_the_report_is_there(unfilled: Unfilled) -> None:
    stack = Stack(unfilled)
    stack.hours(24)
    stack.sends = False
    stack.hours(48)
    stack.sends = True
    stack.until(7)
    assert stack.hours(3)[-1] is False


def test_a_report_that_is_two_hours_late_is_none(unfilled: Unfilled) -> None:
    stack = Stack(unfilled)
    stack.hours(24)
    stack.until(7)
    stack.sends = False
    assert not any(stack.hours(2))
    stack._sent = stack._now
    stack.sends = True
    assert not any(stack.hours(20))


def test_a_function_that_does_not_run_any_more_is_a_ticket_after_three_hours(
    unfilled: Unfilled,
) -> None:
    stack = Stack(unfilled)
    stack.hours(24)
    stack.runs = False
    on = stack.hours(6)
    assert on[:2] == [False, False]
    assert on[4:] == [True, True]
    assert all(stack.hours(24)), "for as long as it is silent"


def test_a_function_that_never_ran_is_one_too(unfilled: Unfilled) -> None:
    stack = Stack(unfilled)
    stack.runs = False
    assert stack.hours(6)[-1]


def test_a_run_that_is_missing_is_none(unfilled: Unfilled) -> None:
    stack = Stack(unfilled)
    stack.hours(24)
    for _ in range(3):
        stack.runs = False
        assert not any(stack.hours(1))
        stack.runs = True
        assert not any(stack.hours(4))


def test_of_a_stack_that_is_silent_as_a_whole_others_tell(unfilled: Unfilled) -> None:
    stack = Stack(unfilled)
    stack.hours(24)
    stack.runs = stack.checks = False
    assert not any(stack.hours(12))
