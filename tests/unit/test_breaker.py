"""A breaker of one process."""

import asyncio

import pytest

from steadyrag.domain.errors import InvalidInput, Refused, Throttled, Unavailable
from steadyrag.resilience.breaker import CircuitOpen, LocalBreaker


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Dependency:
    """Fails with `error` while it has one."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return "answer"


DOWN = Unavailable("valkey", "refused the connection")


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def ask(breaker: LocalBreaker, dependency: Dependency, times: int = 1) -> list[object]:
    return [
        (await asyncio.gather(breaker.guard(dependency), return_exceptions=True))[0]
        for _ in range(times)
    ]


@pytest.mark.parametrize("error", [DOWN, Throttled("valkey", "slow down"), TimeoutError()])
async def test_five_failures_in_a_row_open_it(clock, error):
    breaker, dead = LocalBreaker("valkey", clock=clock), Dependency(error)
    outcomes = await ask(breaker, dead, 20)
    assert dead.calls == 5
    assert outcomes[:5] == [error] * 5
    assert all(isinstance(outcome, CircuitOpen) for outcome in outcomes[5:])
    assert not CircuitOpen("valkey").retryable


@pytest.mark.parametrize(
    "error", [Refused("valkey", "wrong password"), InvalidInput("query", "is blank"), KeyError()]
)
async def test_what_says_nothing_about_reachability_never_opens_it(clock, error):
    breaker, dependency = LocalBreaker("valkey", clock=clock), Dependency(error)
    assert await ask(breaker, dependency, 20) == [error] * 20
    assert breaker.state == "closed"


async def test_a_call_that_its_caller_cancels_does_not_count(clock):
    breaker = LocalBreaker("valkey", clock=clock)
    for _ in range(10):
        task = asyncio.create_task(breaker.guard(asyncio.Event().wait))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert breaker.state == "closed"


async def test_a_success_in_between_starts_the_count_again(clock):
    breaker, dependency = LocalBreaker("valkey", clock=clock), Dependency(DOWN)
    await ask(breaker, dependency, 4)
    dependency.error = None
    await ask(breaker, dependency)
    dependency.error = DOWN
    await ask(breaker, dependency, 4)
    assert breaker.state == "closed"


async def test_failures_long_apart_are_not_in_a_row(clock):
    breaker, dead = LocalBreaker("valkey", clock=clock), Dependency(DOWN)
    for _ in range(10):
        await ask(breaker, dead)
        clock.now += 601
    assert breaker.state == "closed"


async def test_after_a_minute_one_probe_goes_through_and_its_success_closes(clock):
    seen = []
    breaker = LocalBreaker("valkey", clock=clock, on_transition=lambda *what: seen.append(what))
    dependency = Dependency(DOWN)
    await ask(breaker, dependency, 5)
    clock.now += 59.9
    await ask(breaker, dependency)
    assert dependency.calls == 5
    clock.now += 0.1
    dependency.error = None
    outcomes = await asyncio.gather(
        *(breaker.guard(dependency) for _ in range(10)), return_exceptions=True
    )
    assert dependency.calls == 6
    assert outcomes.count("answer") == 1
    assert await ask(breaker, dependency) == ["answer"]
    assert seen == [("valkey", "open"), ("valkey", "half_open"), ("valkey", "closed")]


async def test_a_failed_probe_opens_it_for_another_minute(clock):
    breaker, dead = LocalBreaker("valkey", clock=clock), Dependency(DOWN)
    await ask(breaker, dead, 5)
    for probes in range(1, 4):
        clock.now += 60
        await ask(breaker, dead, 10)
        assert dead.calls == 5 + probes


async def test_a_cancelled_probe_makes_room_for_the_next(clock):
    breaker, dependency = LocalBreaker("valkey", clock=clock), Dependency(DOWN)
    await ask(breaker, dependency, 5)
    clock.now += 60
    probe = asyncio.create_task(breaker.guard(asyncio.Event().wait))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    dependency.error = None
    assert await ask(breaker, dependency) == ["answer"]


async def test_an_answer_to_a_call_from_before_does_not_close_it(clock):
    breaker, dead = LocalBreaker("valkey", clock=clock), Dependency(DOWN)
    answer = asyncio.Event()
    slow = asyncio.create_task(breaker.guard(answer.wait))
    await asyncio.sleep(0)
    await ask(breaker, dead, 5)
    answer.set()
    await slow
    assert breaker.state == "open"


async def test_a_call_longer_than_its_time_counts(clock):
    breaker = LocalBreaker("valkey", clock=clock, failures=1)
    with pytest.raises(TimeoutError):
        await breaker.guard(asyncio.Event().wait, timeout_s=0.001)
    assert breaker.state == "open"
