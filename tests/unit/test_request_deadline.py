"""How long a request may take."""

from types import SimpleNamespace

import pytest

from steadyrag.api.deadline import request_deadline_s
from steadyrag.domain.errors import InvalidInput


def scope(*timeouts: str, lambda_ms: int | None = None) -> dict:
    made = {
        "type": "http",
        "headers": [(b"x-request-timeout", value.encode("latin-1")) for value in timeouts],
    }
    if lambda_ms is not None:
        made["aws.context"] = SimpleNamespace(get_remaining_time_in_millis=lambda: lambda_ms)
    return made


def deadline_s(*timeouts: str, lambda_ms: int | None = None) -> float:
    return request_deadline_s(scope(*timeouts, lambda_ms=lambda_ms), default_s=25)


def test_the_default_holds_where_nobody_says_less():
    assert deadline_s() == 25


@pytest.mark.parametrize(
    ("given", "seconds"), [("10", 10), ("0.5", 0.5), (" 3 ", 3), ("25", 25), ("60", 25)]
)
def test_a_caller_may_lower_it_and_not_raise_it(given, seconds):
    assert deadline_s(given) == seconds


@pytest.mark.parametrize(
    "given", ["", "soon", "0", "-1", "nan", "inf", "1e999", "10s", "1_0", "1,5", "\xb2", "5, 6"]
)
def test_a_bad_value_is_named(given):
    with pytest.raises(InvalidInput) as told:
        deadline_s(given)
    assert (told.value.field, told.value.status) == ("X-Request-Timeout", 422)


def test_two_values_are_one_too_many():
    with pytest.raises(InvalidInput, match="more than once"):
        deadline_s("5", "6")


@pytest.mark.parametrize(
    ("left_ms", "seconds"), [(30_000, 25), (12_500, 12), (2_000, 1.5), (300, 0.05)]
)
def test_lambdas_remaining_time_bounds_it_with_room_to_answer(left_ms, seconds):
    assert deadline_s(lambda_ms=left_ms) == seconds


def test_the_smallest_of_the_three_wins():
    assert deadline_s("5", lambda_ms=10_000) == 5
    assert deadline_s("5", lambda_ms=4_000) == 3.5
