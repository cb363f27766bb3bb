"""A dead dependency before a fleet: the calls it still gets, and how it is found well again.

The environments are isolated as Lambda's are (a service, breakers, memory and connections of
their own, one request at a time) but live in one process, so that each call can be put in
order with what its environment knew. The bar is exact. A call is in flight when the fifth
failure is published if it had begun by then, or if the news that let it begin were asked for
before: no later word could have stopped it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import RenderableType
from starlette.types import ASGIApp

from faults.asking import Reply, application, ask
from faults.figures import Figure
from faults.filling import create_index, fill, order
from faults.record import asked, forget
from faults.worker import PATIENT_S, patient
from faults.world import World
from integration.vendored import TEXTS
from servers import REGION
from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.domain.models import Embedding, Embeddings, Hit, Question, Ranking
from steadyrag.domain.ports import SharedStore
from steadyrag.progress import Advance, progress
from steadyrag.resilience import circuit_fields
from steadyrag.resilience.breakers import BREAKERS_KEY, Breakers
from steadyrag.settings import Settings, load
from steadyrag.wiring import parts
from steadyrag.wiring.service import build

ENVIRONMENTS = 50
REQUESTS = 1000
FEWER = 250
"""Where the first thousand has shown that numbers change nothing."""
FAILURES = 5
LATER_S = 61.0
"""After a circuit opened: by then it wants a probe."""
ROUND_S = 1.5
"""Between two rounds of requests after that, so that who was refused a probe may ask again."""
ROUNDS = 2
SPREAD_S = 2.0
LATENCY_MS = 20


@dataclass(frozen=True, slots=True)
class Dependency:
    """What dies: its circuit's `name`, the vendor's `operation` behind it, at the address
    under `vendor` in the settings, and what callers get while it is dead."""

    name: str
    words: str
    operation: str
    vendor: str
    mode: str
    lost: str


EMBEDDING = Dependency(
    "embedding", "embedding API", "embeddings", "OPENAI_BASE_URL", "keyword_only", "embedding"
)
RERANKER = Dependency(
    "reranker", "reranker", "rerank", "PINECONE_CONTROLLER_HOST", "partial", "rerank"
)


class Clock:
    """Epoch seconds that stand still until they are moved: on a slow machine no minute passes
    by itself."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Call:
    """One call of the dependency, in seconds of this process. `news_from` is when its
    environment asked for the news it acts on; `probe` is what its breakers took it for."""

    begun: float
    news_from: float
    probe: bool


@dataclass(slots=True)
class Watch:
    """Every call of the dependency. `published_at` is when the first environment had word of
    the fifth failure."""

    dependency: Dependency
    clock: Clock
    calls: list[Call] = field(default_factory=list)
    published_at: float | None = None
    transitions: Counter[str] = field(default_factory=Counter)

    def heard(self, fields: Mapping[str, bytes]) -> None:
        circuit = circuit_fields.circuit(
            fields, self.dependency.name, now_s=self.clock(), limit=FAILURES, stale_s=600.0
        )
        if self.published_at is None and circuit.failures >= FAILURES:
            self.published_at = time.perf_counter()

    def changed(self, name: str, state: str) -> None:
        if name == self.dependency.name:
            self.transitions[state] += 1

    def again(self) -> None:
        self.calls.clear()
        self.transitions.clear()

    @property
    def under_way(self) -> int:
        """Calls begun by the time the fifth failure was published, without the five."""
        if self.published_at is None:
            return 0
        return max(0, sum(call.begun <= self.published_at for call in self.calls) - FAILURES)

    @property
    def about_to_begin(self) -> int:
        """Calls begun after it, by news asked for before it."""
        if self.published_at is None:
            return 0
        return sum(call.news_from < self.published_at < call.begun for call in self.calls)


class Environment:
    """One service and what it knows."""

    def __init__(
        self, settings: Settings, watch: Watch, store: Callable[[], SharedStore], clock: Clock
    ) -> None:
        self._watch = watch
        self.news_from = float("-inf")
        stores = [patient(_Heard(store(), self, watch), clock=clock)]
        self.breakers = Breakers(stores, clock=clock, on_transition=watch.changed)
        made: dict[str, Any] = {"stores": stores, "breakers": self.breakers}
        if watch.dependency is EMBEDDING:
            made["embedder"] = _Embedder(parts.embedder(settings), self.begin)
        else:
            index = made["index"] = parts.index(settings, parts.embedder(settings))
            made["reranker"] = _Reranker(parts.reranker(settings, index), self.begin)
        self.service = build(settings, clock=clock, **made)
        self.app: ASGIApp = application(self.service)

    def begin(self) -> None:
        probe = self.state == "half_open"
        self._watch.calls.append(Call(time.perf_counter(), self.news_from, probe))

    @property
    def state(self) -> str:
        return self.breakers.state(self._watch.dependency.name)


class _Passing:
    """Everything of `inner`, but for what a subclass defines."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _Heard(_Passing):
    """A store that notes when its environment asked for news of the circuits."""

    def __init__(self, inner: SharedStore, environment: Environment, watch: Watch) -> None:
        super().__init__(inner)
        self._environment = environment
        self._watch = watch

    async def read(self, values: Sequence[str], maps: Sequence[str] = ()) -> Any:
        asked = time.perf_counter()
        found = await self.inner.read(values, maps)
        if BREAKERS_KEY in maps:
            self._environment.news_from = asked
        return found

    async def update(self, key: str, **change: Any) -> dict[str, bytes]:
        asked = time.perf_counter()
        fields: dict[str, bytes] = await self.inner.update(key, **change)
        if key == BREAKERS_KEY:
            self._environment.news_from = asked
            self._watch.heard(fields)
        return fields


class _Embedder(_Passing):
    def __init__(self, inner: Any, begin: Callable[[], None]) -> None:
        super().__init__(inner)
        self._begin = begin

    async def embed_query(self, text: str) -> Embedding:
        self._begin()
        return await self.inner.embed_query(text)

    async def embed_queries(self, texts: Sequence[str]) -> Embeddings:
        self._begin()
        return await self.inner.embed_queries(texts)


class _Reranker(_Passing):
    def __init__(self, inner: Any, begin: Callable[[], None]) -> None:
        super().__init__(inner)
        self._begin = begin

    async def rerank(self, question: Question, hits: Sequence[Hit], *, top_k: int) -> Ranking:
        self._begin()
        return await self.inner.rerank(question, hits, top_k=top_k)


def run(world: World) -> tuple[list[Figure], list[RenderableType]]:
    vendors = world.vendors()
    settings = load(vendors)
    asyncio.run(_prepared(settings))
    clock = Clock()

    def valkey() -> SharedStore:
        return ValkeyStore(
            url=world.valkey.url,
            timeout_s=PATIENT_S,
            connect_timeout_s=PATIENT_S,
            clock=clock,
            prefix="",
        )

    # What environments share is the table. They may share a client: making fifty of boto3's
    # takes longer than all else, and it holds nothing that circuits depend on.
    table = DynamoStore(
        table=f"{world.new_table()}cache",
        endpoint_url=world.local_aws.url,
        region=REGION,
        timeout_s=PATIENT_S,
        connect_timeout_s=PATIENT_S,
        clock=clock,
    )
    trials = [
        _Trial(EMBEDDING, "Valkey", valkey, REQUESTS),
        _Trial(EMBEDDING, "Valkey", valkey, REQUESTS, spread_s=SPREAD_S),
        _Trial(RERANKER, "Valkey", valkey, FEWER, spread_s=SPREAD_S),
        _Trial(EMBEDDING, "DynamoDB", lambda: table, FEWER),
    ]
    figures: list[Figure] = []
    for trial in trials:
        world.forget()
        with _quiet(), progress(f"breakers: {trial.title}") as advance:
            figures += asyncio.run(trial.figures(vendors, settings, clock, advance))
    return figures, []


@dataclass(slots=True)
class _Trial:
    """A dependency that dies, is still dead a minute later, and is well another minute later.

    Environments first ask of the dead one within `spread_s`: at 0 all are in flight before
    anybody can know, which is the most that it can cost.
    """

    dependency: Dependency
    held_in: str
    store: Callable[[], SharedStore]
    requests: int
    spread_s: float = 0.0
    _asked: int = 0

    @property
    def title(self) -> str:
        begin = "one by one" if self.spread_s else "all at once"
        return f"dead {self.dependency.words}, {begin}, {self.held_in}"

    async def figures(
        self, vendors: Mapping[str, str], settings: Settings, clock: Clock, advance: Advance
    ) -> list[Figure]:
        vendor = vendors[self.dependency.vendor]
        watch = Watch(self.dependency, clock)
        async with _environments(settings, watch, self.store, clock) as environments:
            wave = _Wave(self, vendor, watch, environments, advance)
            order(vendor, "_faults", self._dead())
            dies = await wave.of(self.requests // ENVIRONMENTS, spread_s=self.spread_s)
            clock.now += LATER_S
            still_dead = [await wave.of(1, after_s=ROUND_S * n) for n in range(ROUNDS)]
            clock.now += LATER_S
            order(vendor, "_faults", self._well())
            well = [await wave.of(1, after_s=ROUND_S * n) for n in range(ROUNDS)]
            closed = sum(one.state == "closed" for one in environments)
        return [self._dies(dies), self._still_dead(still_dead), self._well_again(well, closed)]

    def _dead(self) -> dict[str, Any]:
        fault = {"operation": self.dependency.operation, "fault": {"kind": "status", "status": 503}}
        slow = {"operation": self.dependency.operation, "latency_ms": LATENCY_MS}
        return {"clear": True, "orders": [slow, fault]}

    def _well(self) -> dict[str, Any]:
        return {
            "clear": True,
            "operation": self.dependency.operation,
            "latency_ms": LATENCY_MS,
        }

    def question(self) -> str:
        """Never the same twice: what is held would need no call."""
        self._asked += 1
        return f"Which city is the capital of South Korea, asked in {self.held_in} {self._asked}?"

    def _dies(self, dies: _Seen) -> Figure:
        in_flight = dies.under_way + dies.about_to_begin
        degraded = dies.answered(self.dependency.mode, self.dependency.lost)
        return Figure(
            name=f"{self.title}: {ENVIRONMENTS} environments, {self.requests:,} requests",
            bar=f"calls ≤ {FAILURES} + those in flight when the fifth failure is published; "
            f"every answer {self.dependency.mode}",
            measured=f"{dies.calls} calls; {dies.under_way} were under way and "
            f"{dies.about_to_begin} about to begin by older news; "
            f"{degraded:,} of {len(dies.replies):,} answered {self.dependency.mode}",
            met=dies.consistent
            and dies.calls <= FAILURES + in_flight
            and dies.opened == 1
            and degraded == self.requests,
            values={
                "environments": ENVIRONMENTS,
                "requests": len(dies.replies),
                "calls": dies.calls,
                "calls_under_way": dies.under_way,
                "calls_about_to_begin": dies.about_to_begin,
                "calls_by_clients": dies.begun,
                "opened": dies.opened,
                "answered_as_promised": degraded,
                "slowest_s": dies.slowest_s,
            },
        )

    def _still_dead(self, waves: Sequence[_Seen]) -> Figure:
        calls = sum(one.calls for one in waves)
        probes = sum(one.probes for one in waves)
        requests = sum(len(one.replies) for one in waves)
        degraded = sum(one.answered(self.dependency.mode, self.dependency.lost) for one in waves)
        return Figure(
            name=f"{self.title}: still dead {LATER_S:g} s later",
            bar=f"exactly one call, the probe; every answer {self.dependency.mode}",
            measured=f"calls {calls}, probes {probes}; "
            f"{degraded} of {requests} answered {self.dependency.mode}",
            met=all(one.consistent for one in waves)
            and calls == probes == 1
            and degraded == requests == ROUNDS * ENVIRONMENTS,
            values={
                "requests": requests,
                "calls": calls,
                "probes": probes,
                "answered_as_promised": degraded,
            },
        )

    def _well_again(self, waves: Sequence[_Seen], closed: int) -> Figure:
        first, *later = waves
        probes = sum(one.probes for one in waves)
        full = sum(one.answered("full") for one in later)
        either = first.answered("full") + first.answered(self.dependency.mode, self.dependency.lost)
        requests = sum(len(one.replies) for one in later)
        return Figure(
            name=f"{self.title}: well again",
            bar="exactly one probe; then every circuit is closed and every answer full",
            measured=f"probes {probes}; {closed} of {ENVIRONMENTS} circuits closed; "
            f"{full} of {requests} full afterwards",
            met=all(one.consistent for one in waves)
            and probes == 1
            and sum(one.closed for one in waves) == 1
            and either == len(first.replies) == ENVIRONMENTS
            and closed == ENVIRONMENTS
            and full == requests == (ROUNDS - 1) * ENVIRONMENTS,
            values={
                "requests_beside_the_probe": len(first.replies),
                "full_beside_the_probe": first.answered("full"),
                "probes": probes,
                "environments_closed": closed,
                "requests_afterwards": requests,
                "full_afterwards": full,
            },
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    """A wave of requests. `calls` are those on the vendor's record, `begun` those that clients
    made; `opened` and `closed` count the transitions that environments reported."""

    replies: Sequence[Reply]
    calls: int
    begun: int
    probes: int
    under_way: int
    about_to_begin: int
    opened: int
    closed: int

    @property
    def consistent(self) -> bool:
        """Whether the vendor saw the calls that clients say they made."""
        return self.calls == self.begun

    @property
    def slowest_s(self) -> float:
        return max(reply.seconds for reply in self.replies)

    def answered(self, mode: str, *lost: str) -> int:
        """How many replies are of this mode, for these reasons."""
        return sum(
            reply.status == 200
            and reply.body["mode"] == mode
            and reply.body["degraded"] == list(lost)
            for reply in self.replies
        )


@dataclass(slots=True)
class _Wave:
    trial: _Trial
    vendor: str
    watch: Watch
    environments: Sequence[Environment]
    advance: Advance
    _done: int = 0

    async def of(self, each: int, *, after_s: float = 0.0, spread_s: float = 0.0) -> _Seen:
        """`each` requests one after the other in every environment, all environments at once,
        the last of which begins `spread_s` after the first."""
        self.watch.clock.now += after_s
        self.watch.again()
        forget(self.vendor)
        gap_s = spread_s / (len(self.environments) - 1)
        served = await asyncio.gather(
            *(self._serve(one, each, gap_s * n) for n, one in enumerate(self.environments))
        )
        return _Seen(
            replies=[reply for replies in served for reply in replies],
            calls=asked(self.vendor)[self.watch.dependency.operation],
            begun=len(self.watch.calls),
            probes=sum(call.probe for call in self.watch.calls),
            under_way=self.watch.under_way,
            about_to_begin=self.watch.about_to_begin,
            opened=self.watch.transitions["open"],
            closed=self.watch.transitions["closed"],
        )

    async def _serve(self, environment: Environment, times: int, wait_s: float) -> list[Reply]:
        replies: list[Reply] = []
        await asyncio.sleep(wait_s)
        for _ in range(times):
            replies.append(await ask(environment.app, self.trial.question()))
            self._done += 1
            total = self.trial.requests + 2 * ROUNDS * ENVIRONMENTS
            self.advance(self._done, total)
        return replies


@contextlib.asynccontextmanager
async def _environments(
    settings: Settings, watch: Watch, store: Callable[[], SharedStore], clock: Clock
) -> AsyncIterator[list[Environment]]:
    made = [Environment(settings, watch, store, clock) for _ in range(ENVIRONMENTS)]
    try:
        yield made
    finally:
        await asyncio.gather(*(one.service.aclose() for one in made))


async def _prepared(settings: Settings) -> None:
    await create_index(settings)
    await fill(settings, TEXTS, "default")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What is broken on purpose is no news."""
    logger = logging.getLogger("steadyrag")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
