"""One more try, where it may help and time allows."""

import asyncio

import pytest

from steadyrag.domain.errors import InvalidInput, Refused, Throttled, Unavailable
from steadyrag.resilience.breaker import LocalBreaker
from steadyrag.resilience.deadline import deadline
from steadyrag.resilience.retry import CHEAP_WITHIN_S, once_more

RESET = Unavailable("index", "reset the connection")


class Call:
    """Raises the errors given, one a call, then answers. Each call takes `takes_s`."""

    def __init__(self, *errors: Exception, takes_s: float = 0.0) -> None:
        self.errors = list(errors)
        self.takes_s = takes_s
        self.calls = 0
        self.now = 0.0
        self.slept: list[float] = []

    async def __call__(self) -> str:
        self.calls += 1
        self.now += self.takes_s
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def once_more(self, *, has_s: float = 5.0, cost_estimate_s: float = 0.3, **more):
        return await once_more(
            self,
            cost_estimate_s=cost_estimate_s,
            remaining_s=lambda: has_s - self.now,
            clock=lambda: self.now,
            sleep=self.sleep,
            **more,
        )


async def test_a_reset_is_tried_once_more_at_once():
    call = Call(RESET)
    assert await call.once_more() == "answer"
    assert (call.calls, call.slept) == (2, [])


async def test_a_second_failure_is_the_last():
    call = Call(RESET, Unavailable("index", "answered 503"), RESET)
    with pytest.raises(Unavailable, match="503"):
        await call.once_more()
    assert call.calls == 2


@pytest.mark.parametrize(
    "error",
    [
        Refused("index", "answered 401"),
        InvalidInput("filter", "is none"),
        Throttled("index", "answered 429"),
        Throttled("index", "answered 429", retry_after_s=30),
        Unavailable("index", "answered 503", retry_after_s=1.1),
        TimeoutError(),
        ValueError(),
    ],
)
async def test_what_asking_again_cannot_cure_is_not_tried_again(error):
    call = Call(error)
    with pytest.raises(type(error)):
        await call.once_more()
    assert (call.calls, call.slept) == (1, [])


@pytest.mark.parametrize("kind", [Throttled, Unavailable])
async def test_a_short_retry_after_is_honoured(kind):
    call = Call(kind("index", "later", retry_after_s=0.7))
    assert await call.once_more() == "answer"
    assert call.slept == [0.7]


@pytest.mark.parametrize(
    ("has_s", "takes_s", "retry_after_s", "calls"),
    [
        (1.0, 0.0, None, 2),
        (1.0, 0.6, None, 2),
        (1.0, 0.8, None, 1),
        (1.0, 0.0, 0.7, 2),
        (1.0, 0.0, 0.8, 1),
        (0.0, 0.0, None, 1),
    ],
)
async def test_a_second_try_must_fit_into_what_is_left(has_s, takes_s, retry_after_s, calls):
    call = Call(Unavailable("index", "reset", retry_after_s=retry_after_s), takes_s=takes_s)
    await asyncio.gather(call.once_more(has_s=has_s), return_exceptions=True)
    assert call.calls == calls


@pytest.mark.parametrize(("takes_s", "calls"), [(0.1, 2), (2.5, 1)])
async def test_a_paid_call_that_failed_late_is_not_paid_twice(takes_s, calls):
    call = Call(RESET, takes_s=takes_s)
    waiting = call.once_more(has_s=20, failed_within_s=CHEAP_WITHIN_S)
    await asyncio.gather(waiting, return_exceptions=True)
    assert call.calls == calls


async def test_the_requests_own_deadline_is_the_default_bound():
    call = Call(RESET, RESET)
    with deadline(0.1), pytest.raises(Unavailable):
        await once_more(call, cost_estimate_s=0.3)
    assert call.calls == 1


async def test_each_attempt_counts_and_the_first_failure_is_told_when_the_circuit_opens():
    breaker, call = LocalBreaker("index", failures=1), Call(RESET, RESET)
    with pytest.raises(Unavailable, match="reset the connection"):
        await once_more(lambda: breaker.guard(call), cost_estimate_s=0.3)
    assert (call.calls, breaker.state) == (1, "open")
