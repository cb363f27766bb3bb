"""Breakers that a fleet of environments shares."""

import asyncio
from collections.abc import Iterable
from random import Random

import pytest

from fakes import InMemoryStore
from steadyrag.domain.errors import InvalidInput, Refused, Rejected, Unavailable
from steadyrag.resilience.breaker import CircuitOpen
from steadyrag.resilience.breakers import BREAKERS_KEY, Breakers
from steadyrag.resilience.guarded_store import GuardedStore

DOWN = Unavailable("embedding", "refused the connection")
STORE_DOWN = Unavailable("memory", "refused the connection")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Dependency:
    """Fails with `error` while it has one, after a moment that `chance` picks."""

    def __init__(self, error: BaseException | None = None, chance: Random | None = None) -> None:
        self.error = error
        self.calls = 0
        self._chance = chance or Random(1)  # noqa: S311 - nothing secret

    async def __call__(self) -> str:
        self.calls += 1
        for _ in range(self._chance.randrange(1, 6)):
            await asyncio.sleep(0)
        if self.error:
            raise self.error
        return "answer"


class Environment:
    """One Lambda environment: its own connection, its own breakers, one request at a time."""

    def __init__(self, store: InMemoryStore, clock: Clock, name: str = "embedding") -> None:
        self.store = InMemoryStore(clock=clock, beside=store)
        self.transitions: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self.breakers = Breakers(
            [self.store],
            clock=clock,
            on_transition=lambda *what: self.transitions.append(what),
            on_refused=self.refused.append,
        )
        self.name = name

    async def request(self, dependency: Dependency, **limits: float) -> object:
        """What a search does: one batch, then the stage. An error is the outcome."""
        await self.read()
        try:
            return await self.breakers.guard(self.name, dependency, **limits)
        except Exception as error:
            return error

    async def read(self) -> None:
        try:
            _, maps = await self.store.read((), (BREAKERS_KEY,))
        except Unavailable:
            return
        self.breakers.absorb(maps.get(BREAKERS_KEY, {}))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock) -> InMemoryStore:
    return InMemoryStore(clock=clock)


def fleet(store: InMemoryStore, clock: Clock, size: int) -> list[Environment]:
    return [Environment(store, clock) for _ in range(size)]


async def in_turn(environments: Iterable[Environment], dependency: Dependency) -> list[object]:
    return [await environment.request(dependency) for environment in environments]


async def broken(environments: list[Environment]) -> Dependency:
    """A dependency for which the circuit is open everywhere."""
    dependency = Dependency(DOWN)
    await in_turn((environments * 5)[:5], dependency)
    return dependency


async def test_five_failures_in_five_environments_open_it_for_all(store, clock):
    environments = fleet(store, clock, 12)
    dead = Dependency(DOWN)
    outcomes = await in_turn(environments, dead)
    assert dead.calls == 5
    assert outcomes[:5] == [DOWN] * 5
    assert all(isinstance(outcome, CircuitOpen) for outcome in outcomes[5:])
    assert [e.transitions for e in environments if e.transitions] == [[("embedding", "open")]]


class Publications(InMemoryStore):
    """Notes how many calls `dependency` had seen when each failure was published."""

    dependency: Dependency

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.reached: list[int] = []

    async def update(self, key, **changes):
        fields = await super().update(key, **changes)
        if any("|n" in name for name in changes.get("add") or ()):
            self.reached.append(self.dependency.calls)
        return fields


@pytest.mark.parametrize("seed", range(5))
async def test_fifty_environments_spend_a_handful_of_calls_on_a_dead_dependency(clock, seed):
    store = Publications(clock)
    environments = fleet(store, clock, 50)
    for environment in environments:
        environment.store.update = store.update
    chance = Random(seed)  # noqa: S311 - nothing secret
    dead = store.dependency = Dependency(DOWN, chance)

    async def requests(environment: Environment) -> None:
        for _ in range(chance.randrange(60)):
            await asyncio.sleep(0)
        for _ in range(20):
            await environment.request(dead)

    await asyncio.gather(*map(requests, environments))
    five_and_those_in_flight = store.reached[4]
    assert 5 <= dead.calls <= five_and_those_in_flight

    spent = dead.calls
    clock.now += 59.9
    await asyncio.gather(*(environment.request(dead) for environment in environments))
    assert dead.calls == spent

    clock.now += 0.1
    dead.error = None
    outcomes = await asyncio.gather(*(environment.request(dead) for environment in environments))
    assert dead.calls == spent + 1
    assert outcomes.count("answer") == 1

    assert await in_turn(environments, dead) == ["answer"] * 50
    told = [transition for e in environments for transition in e.transitions]
    assert sorted(state for _, state in told) == ["closed", "half_open", "open"]


async def test_requests_in_turn_over_a_fleet_reach_a_dead_dependency_five_times(store, clock):
    environments = fleet(store, clock, 50)
    dead = Dependency(DOWN)
    await in_turn(environments * 20, dead)
    assert dead.calls == 5


async def test_a_failed_probe_opens_it_for_everybody_for_another_minute(store, clock):
    environments = fleet(store, clock, 5)
    dead = await broken(environments)
    for probes in range(1, 4):
        clock.now += 60
        await in_turn(environments * 3, dead)
        assert dead.calls == 5 + probes


async def test_a_healthy_call_costs_no_round_trip(store, clock):
    environment = Environment(store, clock)
    await environment.read()
    before = environment.store.calls.copy()
    for _ in range(10):
        await environment.breakers.guard("embedding", Dependency())
    assert environment.store.calls == before


async def test_one_success_after_known_failures_resets_with_one_write(store, clock):
    environments = fleet(store, clock, 3)
    dependency = Dependency(DOWN)
    await in_turn(environments, dependency)
    dependency.error = None
    assert await in_turn(environments * 3, dependency) == ["answer"] * 9
    assert sum(e.store.calls["update"] for e in environments) == 3 + 1
    dependency.error = DOWN
    await in_turn(environments, dependency)
    await environments[0].read()
    assert environments[0].breakers.state("embedding") == "closed"


async def test_many_successes_at_once_in_one_process_write_one_reset(store, clock):
    environment = Environment(store, clock)
    await environment.request(Dependency(DOWN))
    well = Dependency()
    await asyncio.gather(*(environment.breakers.guard("embedding", well) for _ in range(30)))
    assert environment.store.calls["update"] == 2


async def test_failures_of_long_ago_are_forgotten(store, clock):
    environment = Environment(store, clock)
    dead = Dependency(DOWN)
    for _ in range(4):
        await environment.request(dead)
    clock.now += 1300
    for _ in range(4):
        assert await environment.request(dead) is DOWN
    assert environment.breakers.state("embedding") == "closed"
    _, maps = await environment.store.read((), (BREAKERS_KEY,))
    assert len(maps[BREAKERS_KEY]) == 3  # the version, one count, one time


async def test_an_open_circuit_nobody_asked_about_for_hours_is_probed_first(store, clock):
    environments = fleet(store, clock, 5)
    dead = await broken(environments)
    clock.now += 7200
    outcomes = await asyncio.gather(*(e.request(dead) for e in environments))
    assert dead.calls == 6
    assert sum(isinstance(outcome, CircuitOpen) for outcome in outcomes) == 4


async def test_a_vendor_that_refuses_is_reported_and_opens_nothing(store, clock):
    environment = Environment(store, clock)
    refusal = Refused("embedding", "answered 401")
    refusing = Dependency(refusal)
    assert [await environment.request(refusing) for _ in range(10)] == [refusal] * 10
    assert environment.refused == ["embedding"] * 10
    assert environment.store.calls["update"] == 0


async def test_a_text_that_a_vendor_rejects_is_no_refusal(store, clock):
    environment = Environment(store, clock)
    for _ in range(10):
        await environment.request(Dependency(Rejected("embedding", "answered 400")))
    assert (environment.refused, environment.breakers.states()) == ([], {})


async def test_a_callers_mistake_opens_nothing(store, clock):
    environment = Environment(store, clock)
    for _ in range(10):
        await environment.request(Dependency(InvalidInput("filter", "is none")))
    assert environment.breakers.states() == {}


async def test_a_client_that_leaves_opens_nothing_and_frees_the_probe(store, clock):
    first, second = fleet(store, clock, 2)
    dependency = await broken([first, second])
    clock.now += 60
    probe = asyncio.create_task(first.breakers.guard("embedding", asyncio.Event().wait))
    await asyncio.sleep(0.01)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    dependency.error = None
    assert await second.request(dependency) == "answer"


async def test_a_caller_in_a_hurry_opens_nothing_for_the_others(store, clock):
    environment = Environment(store, clock)
    for _ in range(6):
        outcome = await environment.request(asyncio.Event().wait, timeout_s=0.001, fair_s=1)
        assert isinstance(outcome, TimeoutError)
    assert environment.breakers.state("embedding") == "closed"


async def test_time_outs_of_a_fair_length_open_it(store, clock):
    environment = Environment(store, clock)
    for _ in range(5):
        await environment.request(asyncio.Event().wait, timeout_s=0.001, fair_s=0.001)
    assert environment.breakers.state("embedding") == "open"


async def test_a_late_answer_from_before_does_not_close_it(store, clock):
    environment = Environment(store, clock)
    answer = asyncio.Event()
    slow = asyncio.create_task(environment.breakers.guard("embedding", answer.wait))
    await asyncio.sleep(0)
    await broken([environment])
    answer.set()
    await slow
    await environment.read()
    assert environment.breakers.state("embedding") == "open"


async def test_a_reading_from_before_our_own_failure_is_not_believed(store, clock):
    first, second = fleet(store, clock, 2)
    dead = Dependency(DOWN)
    await in_turn([second] * 4, dead)
    _, early = await first.store.read((), (BREAKERS_KEY,))
    await first.request(dead)
    first.breakers.absorb(early[BREAKERS_KEY])
    assert first.breakers.state("embedding") == "open"


async def test_circuits_do_not_touch_each_other(store, clock):
    embedding = Environment(store, clock)
    llm, other = (Environment(store, clock, name=f"llm:{m}") for m in ("ft:gpt|x", "ft:gpt"))
    await in_turn([embedding] * 5, Dependency(DOWN))
    await in_turn([llm] * 2, Dependency(DOWN))
    assert await other.request(Dependency()) == "answer"
    assert other.breakers.states() == {"embedding": "open", "llm:ft:gpt|x": "closed"}


async def test_without_the_store_each_process_counts_for_itself(store, clock):
    environments = fleet(store, clock, 2)
    for environment in environments:
        environment.store.fail(STORE_DOWN)
    dead = Dependency(DOWN)
    await in_turn(environments * 10, dead)
    assert dead.calls == 10
    clock.now += 60
    dead.error = None
    assert await in_turn(environments, dead) == ["answer"] * 2


async def test_no_store_at_all_is_a_breaker_for_each_process(clock):
    breakers, dead = Breakers(clock=clock), Dependency(DOWN)
    for _ in range(20):
        with pytest.raises(Unavailable):
            await breakers.guard("embedding", dead)
    assert dead.calls == 5


async def test_a_store_that_only_takes_reads_does_not_undo_what_a_process_learnt(store, clock):
    environment = Environment(store, clock)
    environment.store.fail(STORE_DOWN, on="update")
    dead = Dependency(DOWN)
    await in_turn([environment] * 20, dead)
    assert dead.calls == 5


async def test_a_store_lost_while_open_leaves_one_probe_a_minute_to_each_process(store, clock):
    environments = fleet(store, clock, 2)
    dead = await broken(environments)
    for environment in environments:
        await environment.read()
        environment.store.fail(STORE_DOWN)
    clock.now += 60
    await in_turn(environments * 10, dead)
    assert dead.calls == 5 + 2
    clock.now += 60
    await in_turn(environments * 10, dead)
    assert dead.calls == 5 + 4


async def test_a_slow_store_is_waited_for_a_moment_and_failures_count_here(store, clock):
    store.slow(5)
    breakers = Breakers([GuardedStore(store, timeout_s=0.01, connect_s=0.01, clock=clock)])
    dead = Dependency(DOWN)
    async with asyncio.timeout(1):
        for _ in range(10):
            with pytest.raises(Unavailable):
                await breakers.guard("embedding", dead)
    assert dead.calls == 5


async def test_a_map_from_another_store_closes_nothing_that_is_open(store, clock):
    environment = Environment(store, clock)
    await broken([environment])
    clock.now += 3
    environment.breakers.absorb({}, held_in="dynamodb")
    assert environment.breakers.state("embedding") == "open"
    clock.now += 60
    assert environment.breakers.state("embedding") == "closed"


async def test_a_batch_that_has_waited_brings_no_news(store, clock):
    """A request that waited for another's answer absorbs the map it read before that."""
    environment = Environment(store, clock)
    _, maps = await environment.store.read((), (BREAKERS_KEY,))
    read_at = clock.now
    clock.now += 0.1
    await broken([environment])
    clock.now += 3
    environment.breakers.absorb(maps.get(BREAKERS_KEY, {}), held_in="memory", read_at=read_at)
    assert environment.breakers.state("embedding") == "open"


async def test_who_gives_up_while_asking_for_the_probe_keeps_nobody_from_it(store, clock):
    environment, other = Environment(store, clock), Environment(store, clock)
    dead = await broken([environment])
    await other.read()
    clock.now += 61
    environment.store.slow(5, on="claim")
    asking = asyncio.create_task(environment.breakers.guard("embedding", dead, timeout_s=20))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    environment.store.heal()
    dead.error = None
    assert await environment.request(dead) == "answer"
    assert await other.request(dead) == "answer"


async def test_what_is_open_stays_open_when_the_map_moves_twice(store, clock):
    """Valkey goes, and comes back empty."""
    environment = Environment(store, clock)
    await broken([environment])
    environment.breakers.absorb({}, held_in="dynamodb")
    clock.now += 5
    environment.breakers.absorb({}, held_in="valkey")
    assert environment.breakers.state("embedding") == "open"
    clock.now += 60
    assert environment.breakers.state("embedding") == "closed"


async def test_a_time_out_counts_although_its_caller_gives_up_while_it_is_told(store, clock):
    environment = Environment(store, clock)
    environment.store.slow(0.05, on="update")

    async def hangs() -> None:
        await asyncio.sleep(10)

    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.04):
                await environment.breakers.guard("embedding", hangs, timeout_s=0.02)
    environment.store.heal()
    await environment.read()
    assert environment.breakers.state("embedding") == "open"


async def test_the_stores_part_of_the_guard_is_part_of_its_time(store, clock):
    environment = Environment(store, clock)
    dead = await broken([environment])
    clock.now += 61
    await environment.read()
    dead.error = None
    environment.store.slow(0.05)

    async def slow() -> None:
        await asyncio.sleep(0.12)

    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(TimeoutError):
        await environment.breakers.guard("embedding", slow, timeout_s=0.15)
    assert loop.time() - started < 0.3


async def test_while_the_nearest_store_is_down_breakers_are_shared_through_the_next(store, clock):
    """Two environments that have lost Valkey open one circuit together in DynamoDB."""
    beyond = InMemoryStore(clock=clock, name="dynamodb")
    dead = Dependency(DOWN)
    fleet = []
    for _ in range(2):
        here = InMemoryStore(clock=clock, beside=store)
        here.fail(STORE_DOWN)
        fleet.append(Breakers([here, InMemoryStore(clock=clock, beside=beyond)], clock=clock))
    for turn in range(10):
        breakers = fleet[turn % 2]
        _, maps = await beyond.read((), (BREAKERS_KEY,))
        breakers.absorb(maps.get(BREAKERS_KEY, {}), held_in="dynamodb")
        with pytest.raises(Unavailable):
            await breakers.guard("embedding", dead)
    assert dead.calls == 5


async def test_a_map_that_expired_is_learnt_anew(store, clock):
    environment = Environment(store, clock)
    dead = await broken([environment])
    clock.now += 90_000
    assert await environment.request(dead) is DOWN
    assert environment.breakers.state("embedding") == "closed"
