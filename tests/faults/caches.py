"""The same questions again and again, over environments that come and go.

What the shared caches save: how often the embedder and the language model are called, with
Valkey, with DynamoDB in its place, and with each environment's memory alone. Time is
simulated; the pipeline, its memory and the stores are the real ones, the vendors count.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from array import array
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Literal

from rich.console import RenderableType
from rich.table import Table

from builders import chunk, embedded
from cache_rig import Clock
from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryIndex, InMemoryStore
from faults.figures import Figure
from faults.world import World
from servers import REGION
from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.domain.models import Query
from steadyrag.domain.ports import SharedStore
from steadyrag.progress import progress
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.search import Service, search
from steadyrag.settings import load
from steadyrag.wiring.service import build

SKEWS = (0.6, 0.8, 1.0)
QUESTIONS = 10_000
DISTINCT = 8_000
ENVIRONMENTS = 50
EVERY_S = 6.0
IDLE_S = 600.0
"""An environment that was not asked for so long is gone; a cold one takes its place."""

COMPARED_BY = {"valkey": "Valkey", "in memory": "DynamoDB", "none": "memory alone"}
"""What environments share, by the name that it has in tables."""

REMEMBERED = 200
SETTINGS = load(
    {
        "STEADYRAG_MEMORY_ANSWERS": str(REMEMBERED),
        "STEADYRAG_MEMORY_EMBEDDINGS": str(REMEMBERED),
    }
)
DIMENSION = 64
SEED = 20_261_124
COMPARED = 1_000
"""Questions of the first skew that DynamoDB and its stand-in are both asked."""

PROCESSES = 2
PATIENT_S = 5.0
"""The stores get their time: what is measured is what they hold, not how fast."""

DOCUMENTS = (
    "Annual leave is twenty days and grows by one day for every two years of service.",
    "Travel is refunded within thirty days after the receipts have been handed in.",
    "연차 휴가는 이십 일이며 근속 이 년마다 하루씩 늘어난다.",
    "출장비는 영수증을 제출한 뒤 삼십 일 안에 지급된다.",
)


@dataclass(frozen=True, slots=True)
class Arrival:
    at_s: float
    environment: int
    question: str


@dataclass(frozen=True, slots=True)
class Served:
    """How one question was answered."""

    cache: str
    tier: str | None
    mode: str
    embedding_calls: int
    llm_calls: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """The first `questions` of a skew under one configuration. `where` leads to the store."""

    skew: float
    shared: Literal["valkey", "dynamodb", "in memory", "none"]
    questions: int
    where: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Day:
    """What came of it. `texts` is how many were distinct, `started` how many environments
    served."""

    served: Sequence[Served]
    texts: int
    started: int

    @property
    def embedding_calls(self) -> int:
        return sum(one.embedding_calls for one in self.served)

    @property
    def llm_calls(self) -> int:
        return sum(one.llm_calls for one in self.served)

    @property
    def in_full(self) -> int:
        return sum(one.mode == "full" for one in self.served)


def run(world: World) -> tuple[list[Figure], list[RenderableType]]:
    world.forget()
    table = f"{world.new_table()}cache"
    wanted = [Wanted(SKEWS[0], "dynamodb", COMPARED, (table, world.local_aws.url))]
    for skew in SKEWS:
        wanted.append(Wanted(skew, "valkey", QUESTIONS, (world.valkey.url, f"{skew}:")))
        wanted.append(Wanted(skew, "in memory", QUESTIONS))
        wanted.append(Wanted(skew, "none", QUESTIONS))
    days = _all(wanted)
    real = days[SKEWS[0], "dynamodb"]
    figures = [figure for skew in SKEWS for figure in _figures(skew, days)]
    return [*figures, _agreement(real, days[SKEWS[0], "in memory"])], [_table(days)]


def _all(wanted: Sequence[Wanted]) -> dict[tuple[float, str], Day]:
    """Two at a time, which share nothing that is counted."""
    days: dict[tuple[float, str], Day] = {}
    with (
        progress("caches: rounds of questions over environments that come and go") as advance,
        ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as processes,
    ):
        running = {processes.submit(day, one): one for one in wanted}
        for done in as_completed(running):
            one = running[done]
            days[one.skew, one.shared] = done.result()
            advance(len(days), len(wanted), f"Zipf {one.skew}, shared: {one.shared}")
    return days


def day(wanted: Wanted) -> Day:
    """In a process of its own."""
    clock = Clock()
    store = _store(wanted, clock)
    return asyncio.run(_day(arrivals(wanted.skew)[: wanted.questions], store, clock))


def _store(wanted: Wanted, clock: Clock) -> SharedStore | None:
    patience = {"timeout_s": PATIENT_S, "connect_timeout_s": PATIENT_S}
    match wanted.shared:
        case "valkey":
            url, prefix = wanted.where
            return ValkeyStore(url=url, prefix=prefix, clock=clock, **patience)
        case "dynamodb":
            table, url = wanted.where
            return DynamoStore(
                table=table, endpoint_url=url, region=REGION, clock=clock, **patience
            )
        case "in memory":
            return InMemoryStore(clock=clock, name="dynamodb")
    return None


def arrivals(skew: float) -> list[Arrival]:
    """Question k of `DISTINCT` is drawn in proportion to 1/k^skew; gaps are exponential."""
    chance = random.Random(SEED)  # noqa: S311 - the same questions every time
    weights = itertools.accumulate(1 / rank**skew for rank in range(1, DISTINCT + 1))
    drawn = chance.choices(range(DISTINCT), cum_weights=list(weights), k=QUESTIONS)
    times = itertools.accumulate(chance.expovariate(1 / EVERY_S) for _ in drawn)
    return [
        Arrival(at_s, chance.randrange(ENVIRONMENTS), _question(number))
        for at_s, number in zip(times, drawn, strict=True)
    ]


def _question(number: int) -> str:
    if number % 2:
        return f"{number}번 사업장의 연차 휴가는 며칠입니까?"
    return f"How many days of annual leave has site {number}?"


async def _day(traffic: Sequence[Arrival], store: SharedStore | None, clock: Clock) -> Day:
    """One question after the other, each in the environment it was sent to."""
    vendors = _Vendors(await _index())
    living: dict[int, tuple[Service, float]] = {}
    served: list[Served] = []
    started, midnight = 0, clock.now
    for arrival in traffic:
        clock.now = midnight + arrival.at_s
        service, asked_at = living.get(arrival.environment, (None, 0.0))
        if service is None or clock.now - asked_at > IDLE_S:
            service, started = _environment(vendors, store, clock), started + 1
        living[arrival.environment] = service, clock.now
        before = vendors.counts
        answer = await search(Query(arrival.question), service)
        embeddings, llm = (now - then for now, then in zip(vendors.counts, before, strict=True))
        cache = answer.cache
        served.append(Served(cache.status, cache.tier, answer.mode, embeddings, llm))
    if store is not None:
        await store.aclose()
    return Day(served, len({arrival.question for arrival in traffic}), started)


class _Vendors:
    """One of each for all environments, so that their calls are counted together."""

    def __init__(self, index: InMemoryIndex) -> None:
        self.index = index
        self.embedder = FakeEmbedder(dimension=DIMENSION)
        self.reranker = FakeReranker()
        self.generator = FakeGenerator()

    @property
    def counts(self) -> tuple[int, int]:
        """Calls of the embedder and of the language model."""
        return self.embedder.calls.total(), self.generator.calls.total()


async def _index() -> InMemoryIndex:
    index, embedder = InMemoryIndex(), FakeEmbedder(dimension=DIMENSION)
    made = await embedder.embed_passages(DOCUMENTS)
    chunks = [
        embedded(chunk(text, document_id=f"d{i}"), *array("f", vector))
        for i, (text, vector) in enumerate(zip(DOCUMENTS, made.vectors, strict=True))
    ]
    await index.upsert("default", chunks)
    return index


def _environment(vendors: _Vendors, store: SharedStore | None, clock: Clock) -> Service:
    """A new one: its memory is cold. The connection is taken over, which changes no count."""
    guarded = store and GuardedStore(store, timeout_s=PATIENT_S, connect_s=PATIENT_S, clock=clock)
    return build(
        SETTINGS,
        clock=clock,
        stores=[guarded] if guarded else [],
        embedder=vendors.embedder,
        index=vendors.index,
        reranker=vendors.reranker,
        generator=vendors.generator,
    )


def _figures(skew: float, days: Mapping[tuple[float, str], Day]) -> list[Figure]:
    valkey, dynamodb, memory = (days[skew, shared] for shared in COMPARED_BY)
    distinct = valkey.texts
    in_full = min(day.in_full for day in (valkey, dynamodb, memory))
    return [
        Figure(
            name=f"embedding calls with Valkey, Zipf {skew}",
            bar=f"one for each of the {distinct:,} distinct texts; every answer in full",
            measured=f"{valkey.embedding_calls:,} for {QUESTIONS:,} questions: "
            f"{_cut(valkey.embedding_calls)} saved; {in_full:,} in full",
            met=valkey.embedding_calls == distinct and in_full == QUESTIONS,
            values={
                "skew": skew,
                "questions": QUESTIONS,
                "distinct_texts": distinct,
                "embedding_calls": valkey.embedding_calls,
                "embedding_cut": 1 - valkey.embedding_calls / QUESTIONS,
                "llm_calls": valkey.llm_calls,
                "llm_cut": 1 - valkey.llm_calls / QUESTIONS,
                "answers_in_full": in_full,
                "environments_started": valkey.started,
            },
        ),
        Figure(
            name=f"embedding calls without Valkey, Zipf {skew}",
            bar="",
            measured=f"{_cut(dynamodb.embedding_calls)} saved with DynamoDB, "
            f"{_cut(memory.embedding_calls)} with memory alone",
            met=None,
            values={
                f"{tier}_{name}": value
                for tier, day in (("dynamodb", dynamodb), ("memory", memory))
                for name, value in (
                    ("embedding_calls", day.embedding_calls),
                    ("embedding_cut", 1 - day.embedding_calls / QUESTIONS),
                    ("llm_calls", day.llm_calls),
                    ("llm_cut", 1 - day.llm_calls / QUESTIONS),
                )
            },
        ),
    ]


def _agreement(real: Day, stand_in: Day) -> Figure:
    """Whether DynamoDB answered each question as the store that stands for it did."""
    other = sum(a != b for a, b in zip(real.served, stand_in.served[:COMPARED], strict=True))
    hits = sum(one.tier == "dynamodb" for one in real.served)
    return Figure(
        name="DynamoDB and its stand-in",
        bar=f"the same cache status, tier and calls for each of {COMPARED:,} questions",
        measured=f"{other} differ; {hits} hits from DynamoDB, "
        f"{real.embedding_calls} embedding calls",
        met=other == 0 and hits > 0,
        values={
            "compared": COMPARED,
            "different": other,
            "dynamodb_hits": hits,
            "embedding_calls": real.embedding_calls,
        },
    )


def _table(days: Mapping[tuple[float, str], Day]) -> RenderableType:
    table = Table(
        title=f"What the caches save: {QUESTIONS:,} questions, Zipf over {DISTINCT:,}",
        caption=f"Calls, and the share of questions that needed none. One question every "
        f"{EVERY_S:g} s on average, {EVERY_S * QUESTIONS / 3600:.1f} h in all, each to one of "
        f"{ENVIRONMENTS} environments by chance; one that idled {IDLE_S / 60:g} min is replaced "
        f"({days[SKEWS[0], 'valkey'].started:,} served). Memory holds {REMEMBERED} answers and "
        f"{REMEMBERED} embeddings. Answers live {SETTINGS.result_ttl_s / 3600:g} h, embeddings "
        f"{SETTINGS.embedding_ttl_s / 3600:g} h. DynamoDB holds no embeddings; its columns come "
        "from the in-memory store of the same contract suite, compared with the local AWS's "
        f"table over the first {COMPARED:,} questions of Zipf {SKEWS[0]}. Memory alone keeps no "
        "answers: nothing would tell it that documents have changed.",
        caption_justify="left",
    )
    table.add_column("Zipf")
    table.add_column("distinct texts", justify="right")
    for calls in ("embedding calls", "answers computed"):
        for shared in COMPARED_BY.values():
            table.add_column(f"{calls}, {shared}", justify="right")
    for skew in SKEWS:
        of = [days[skew, shared] for shared in COMPARED_BY]
        cells = [_cell(day.embedding_calls) for day in of] + [_cell(day.llm_calls) for day in of]
        table.add_row(f"{skew}", f"{of[0].texts:,}", *cells)
    return table


def _cell(calls: int) -> str:
    return f"{calls:,}\n{_cut(calls)} saved"


def _cut(calls: int) -> str:
    return f"{1 - calls / QUESTIONS:.1%}"
