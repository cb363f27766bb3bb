"""The stack as it runs: API, functions, what they ask, and alarms over what they print."""

import asyncio
import json
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import redirect_stdout
from functools import partial
from typing import Any

from drills.asking import asked
from drills.aws import STACK, Aws, Invocation
from drills.corpus import USUALLY_FRESH, Curiosity, documents
from drills.dependencies import Dependencies
from drills.ingesting import Ingesting
from drills.printed import Printed
from drills.scheduled import Scheduled
from drills.virtual_time import Clock, run
from steadyrag.api import create_app
from steadyrag.api.cold_start import ColdStart
from steadyrag.api.feedback import feedback_router
from steadyrag.api.health import health_router
from steadyrag.api.search import search_router
from steadyrag.api.search_ids import SearchIds
from steadyrag.monitoring.alarms import State, Watch
from steadyrag.monitoring.definitions import Alarm
from steadyrag.monitoring.metric_functions import Unfilled
from steadyrag.monitoring.series import Series
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.resilience.live_config import ConfigPoller
from steadyrag.settings import load
from steadyrag.telemetry import catalogue, metrics
from steadyrag.wiring.readiness import breaker_states, probes
from steadyrag.wiring.service import build, rate_limit

START = 1_800_057_600.0
"""Saturday, 16 January 2027, 00:00 UTC."""

LAMBDA_TIMEOUT_S = 28.0
GATEWAY_MS = 15.0
SHARE_OF_FEEDBACK = 0.1
UNSEEN_MINUTES = 10
METRICS_LATE_S = 120
"""How long a metric is on its way to CloudWatch: one minute to three, as a rule."""

OTHER_READINGS: tuple[Unfilled, ...] = ("missing", "empty")
"""Of metric math, besides the guide's."""

SCHEDULER_LATE_S = 59
"""At most: EventBridge Scheduler is precise to the minute."""

DOCUMENTS_MS = 150.0
SETTINGS = {
    "STEADYRAG_EMBEDDER": "openai",
    "STEADYRAG_INDEX": "pinecone",
    "STEADYRAG_RERANKER": "pinecone",
    "STEADYRAG_GENERATOR": "openai",
    "OPENAI_API_KEY": "not-used",
    "PINECONE_API_KEY": "not-used",
    "STEADYRAG_PINECONE_INDEX_HOST": "https://index.test",
    "STEADYRAG_RATE_LIMIT": "10/minute",
    "STEADYRAG_KEY_RATE_LIMIT": "600/minute",
    "STEADYRAG_TRUSTED_KEYS": "*",
    "STEADYRAG_METRICS": "emf",
    "STEADYRAG_SERVICE": STACK,
}
"""What the template gives the search function, as far as it changes what is measured."""


def lived[T](
    life: Callable[["Stack"], Coroutine[Any, Any, T]], alarms: Sequence[Alarm], *, seed: int
) -> T:
    """What `life` returns, given a new stack and run in the stack's own time."""
    clock = Clock(START)
    stack = Stack(alarms, clock, seed=seed)
    with redirect_stdout(stack.printed):
        return run(life(stack), clock)


class Stack:
    """`minute` lets one pass. Attributes are what drills break; all chance has one seed.

    crashes, throttles: the share of searches that end so, in Lambda.
    crash_next: whether the next one does.
    come: questions of the next minute besides, each with who asks.
    health_asked: whether the schedule asks for readiness.
    documents_crash: whether the documents function fails as a whole.
    series: what was measured.
    readings_differ: alarms whose state hung on how metric math takes a missing data point.
    """

    def __init__(self, alarms: Sequence[Alarm], clock: Clock, *, seed: int = 1) -> None:
        self.clock = clock
        self.rng = random.Random(seed)  # noqa: S311 - traffic, not secrets
        self._lateness = random.Random(seed)  # noqa: S311
        self.series = series = Series()
        self._aws = Aws(series)
        self.printed = Printed(series, lambda: clock.now)
        self.watch = Watch(alarms, series, delay_s=METRICS_LATE_S)
        self._other_readings = [
            Watch(alarms, series, unfilled=one, delay_s=METRICS_LATE_S) for one in OTHER_READINGS
        ]
        self.readings_differ: set[str] = set()
        self.curiosity = Curiosity(self.rng)
        self.asks = Dependencies(clock, self.rng)
        self.ingesting = Ingesting(clock, self._aws, self.asks.index)
        self.scheduled = Scheduled(clock, self._aws, series, self.asks, load(SETTINGS))
        self.crashes = 0.0
        self.throttles = 0.0
        self.crash_next = False
        self.come: list[tuple[str, str]] = []
        self.health_asked = True
        self.documents_crash = False
        self.asked = 0
        self._watching = False
        self._broken: list[BaseException] = []
        self._running: set[asyncio.Task[None]] = set()
        metrics.configure("emf", service=STACK, strict=True)

    async def begin(self, requests: int) -> None:
        """The first minutes of a stack. Nobody looks at its alarms before: those that take
        silence for a failure would fire before the first check."""
        await self.asks.fill(documents())
        await self.scheduled.begin()
        self.release()
        for _ in range(UNSEEN_MINUTES):
            await self.minute(requests)
        self._watching = True

    def release(self) -> None:
        """New environments, whose memory is cold, over what was there."""
        settings, asks = load(SETTINGS), self.asks
        service = build(
            settings,
            embedder=asks.embedder,
            index=asks.index,
            reranker=asks.reranker,
            generator=asks.generator,
            stores=[GuardedStore(asks.store)],
        )
        unusable = partial(metrics.count, catalogue.LIVE_CONFIG_UNUSABLE)
        live = ConfigPoller(asks.live, on_unusable=unusable)
        limit = rate_limit(settings, service.stores, live)
        ids = SearchIds(b"not a secret")
        search = search_router(service, limit, ids=ids)
        self._search = create_app([search, feedback_router(ids, limit)], live=live)
        states = partial(breaker_states, service)
        self._health = create_app([health_router(probes(service), breakers=states)])
        self._started = ColdStart("search")
        self._cold = True

    async def mend(self) -> None:
        """Everything is well again."""
        self.asks.mend()
        self.ingesting.mend()
        self.scheduled.mend()
        self.crashes = self.throttles = 0.0
        self.curiosity.fresh = USUALLY_FRESH
        self.health_asked = True
        self.documents_crash = False

    async def minute(self, requests: int) -> dict[str, State]:
        """Lets a minute pass in which so many searches come; the alarms' states at its end."""
        ends = self.clock.passed + 60
        moments = sorted(self.rng.uniform(ends - 60, ends) for _ in range(requests))
        if self.health_asked:
            self._spawn(self._readiness(self._lateness.uniform(0, SCHEDULER_LATE_S)))
        self._spawn(self.ingesting.minute())
        self._spawn(self.scheduled.minute())
        for question, user in self.come:
            self._spawn(self._asking(question, user))
        self.come.clear()
        for moment in moments:
            await asyncio.sleep(moment - self.clock.passed)
            user = f"user-{self.rng.randrange(500)}"
            self._spawn(self._asking(self.curiosity.next(), user))
        await asyncio.sleep(ends - self.clock.passed)
        self.clock.passed = ends  # what is lost of a sum of floats
        if self._broken:  # not what a drill breaks, but the drill
            raise self._broken[0]
        if not self._watching:
            return {}
        states = self.watch.evaluate(self.clock.now)
        for reading in self._other_readings:
            others = reading.evaluate(self.clock.now)
            self.readings_differ |= {name for name in states if states[name] != others[name]}
        return states

    async def look_up(self) -> None:
        """Somebody asks what became of a document."""
        said = Invocation(DOCUMENTS_MS, failed=self.documents_crash)
        self._aws.invoked("documents", said, self.clock.now)

    async def _asking(self, question: str, user: str) -> None:
        """One search, and what some say of its answer."""
        self.asked += 1
        self.asks.next_search(cold=self._cold)
        self._cold = False
        status, content = await self._invoked("/search", {"query": question, "user": user})
        if status == 200 and self.rng.random() < SHARE_OF_FEEDBACK:
            await asyncio.sleep(self.rng.uniform(5, 60))
            search_id = json.loads(content)["search_id"]
            await self._invoked("/feedback", {"search_id": search_id, "clicked_rank": 1})

    async def _invoked(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """A request of the search function, as gateway and Lambda see it. Lambda's refusals
        and the function's crashes leave the gateway as 5xx."""
        began = self.clock.now
        if self.rng.random() < self.throttles:
            self._aws.invoked("search", Invocation(throttled=True), began)
            self._aws.answered(path, "POST", 500, GATEWAY_MS, began)
            return 500, b""
        status, content, failed = 502, b"", True
        crashes = self.crash_next or self.rng.random() < self.crashes
        self.crash_next = False
        if not crashes:
            self._started.invoked()
            try:
                async with asyncio.timeout(LAMBDA_TIMEOUT_S):
                    status, content = await asked(self._search, "POST", path, body)
                failed = False
            except TimeoutError:
                pass
        took_ms = (self.clock.now - began) * 1000
        self._aws.invoked("search", Invocation(took_ms, failed=failed), began)
        self._aws.answered(path, "POST", status, took_ms + GATEWAY_MS, began)
        return status, content

    async def _readiness(self, late_s: float) -> None:
        """The schedule asks the health function, past the gateway."""
        await asyncio.sleep(late_s)
        began = self.clock.now
        await asked(self._health, "GET", "/health")
        self._aws.invoked("health", Invocation((self.clock.now - began) * 1000), began)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._broken.append(error)
