"""Concurrent identical work, done once, each within its own deadline."""

import asyncio

import pytest

from steadyrag.resilience.deadline import deadline, remaining_s
from steadyrag.resilience.single_flight import SingleFlight


class Work:
    def __init__(self, seconds: float = 0.05) -> None:
        self.seconds = seconds
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        call = self.calls
        await asyncio.sleep(min(self.seconds, remaining_s()))
        return call


async def within(seconds, flights, work, key="k"):
    with deadline(seconds):
        return await flights.run(key, work)


async def test_one_computes_and_all_get_it():
    flights, work = SingleFlight[int](), Work()
    outcomes = await asyncio.gather(*(within(5, flights, work) for _ in range(50)))
    assert work.calls == 1
    assert sorted(outcomes) == [(1, False)] + [(1, True)] * 49
    assert len(flights) == 0


async def test_different_work_is_done_apart():
    flights, work = SingleFlight[int](), Work()
    await asyncio.gather(*(flights.run(key, work) for key in "aab"))
    assert work.calls == 2


async def test_what_is_over_is_done_anew():
    flights, work = SingleFlight[int](), Work(0)
    assert [await flights.run("k", work) for _ in range(2)] == [(1, False), (2, False)]


async def test_a_cancelled_waiter_leaves_the_others_alone():
    flights, work = SingleFlight[int](), Work()
    tasks = [asyncio.create_task(within(5, flights, work)) for _ in range(4)]
    await asyncio.sleep(0.01)
    tasks[2].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert work.calls == 1
    assert [type(o) for o in outcomes].count(tuple) == 3


async def test_one_after_the_other_is_cancelled_and_the_last_still_gets_its_answer():
    flights, work = SingleFlight[int](), Work()
    tasks = [asyncio.create_task(within(5, flights, work)) for _ in range(4)]
    for task in tasks[:3]:
        await asyncio.sleep(0.01)
        task.cancel()
    assert await tasks[3] == (4, False)
    assert len(flights) == 0


async def test_a_failure_reaches_all_and_is_not_kept():
    flights = SingleFlight[int]()

    async def fails():
        await asyncio.sleep(0.01)
        raise ValueError("broken")

    outcomes = await asyncio.gather(
        *(flights.run("k", fails) for _ in range(3)), return_exceptions=True
    )
    assert [str(o) for o in outcomes] == ["broken"] * 3
    assert await flights.run("k", Work(0)) == (1, False)


async def test_a_failure_that_nobody_waits_for_is_not_complained_about(caplog):
    async def fails():
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await SingleFlight[int]().run("k", fails)
    assert not caplog.records


async def test_who_has_less_time_than_the_first_gives_up_in_time_to_answer_itself():
    flights, slow, quick = SingleFlight[int](), Work(0.5), Work(0)
    first = asyncio.create_task(within(5, flights, slow))
    await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await within(0.2, flights, quick) == (1, False)
    assert loop.time() - started < 0.2
    assert await first == (1, False)


async def test_who_has_much_more_time_does_not_wait_for_one_in_a_hurry():
    flights, hurried, patient = SingleFlight[int](), Work(0.05), Work(0.1)
    first = asyncio.create_task(within(0.1, flights, hurried))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(within(25, flights, patient))
    await asyncio.sleep(0.01)
    assert await within(25, flights, hurried) == (1, True)
    assert await second == (1, False)
    await first
    assert (hurried.calls, patient.calls, len(flights)) == (1, 1, 0)
