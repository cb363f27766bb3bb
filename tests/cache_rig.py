"""An environment's caches over shared stores in memory, with one clock for all."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fakes.store import InMemoryStore
from steadyrag.domain.models import Answer, CacheInfo, Query, Source, Usage
from steadyrag.domain.ports import SharedStore
from steadyrag.resilience.answer_cache import AnswerCache
from steadyrag.resilience.corpus_changes import CorpusChanges
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.resilience.request_state import RequestState, Tier
from steadyrag.resilience.shared_state import CacheLimits, SharedState

QUESTION = Query("What is the capital of Korea?")


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


def source(document_id: str = "seoul", text: str = "Seoul is the capital of Korea.") -> Source:
    return Source(f"{document_id}-1", document_id, document_id.title(), None, text, 0.9, 1)


def an_answer(text: str = "Seoul [1].", **changes: Any) -> Answer:
    made = Answer(
        search_id="first",
        answer=text,
        sources=[source()],
        mode="full",
        degraded=(),
        calibrated=True,
        cache=CacheInfo(),
        model="small",
        variant="default",
        usage=Usage(8, 500, 40),
        timings_ms={"total": 812.5},
    )
    return replace(made, **changes)


class Pipeline:
    """Stands for the search: counts its calls and answers `answer`, or what `work` makes."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or an_answer()
        self.calls = 0
        self.states: list[RequestState] = []
        self.work: Callable[[RequestState], Awaitable[Answer]] | None = None

    async def __call__(self, state: RequestState) -> Answer:
        self.calls += 1
        self.states.append(state)
        return await self.work(state) if self.work else self.answer


@dataclass
class Fleet:
    """Stores that environments share; `environment()` starts a new one, with cold memory."""

    clock: Any = field(default_factory=Clock)
    names: Sequence[str] = ("valkey", "dynamodb")
    vectors_in: frozenset[str] = frozenset({"valkey"})

    def __post_init__(self) -> None:
        self.stores = {name: InMemoryStore(clock=self.clock, name=name) for name in self.names}

    @property
    def valkey(self) -> InMemoryStore:
        return self.stores["valkey"]

    @property
    def dynamodb(self) -> InMemoryStore:
        return self.stores["dynamodb"]

    def changes(self, **options: Any) -> CorpusChanges:
        return CorpusChanges(list(self.stores.values()), clock=self.clock, **options)

    def connected(self) -> Mapping[str, SharedStore]:
        """Connections of a new environment."""
        return self.stores

    def environment(
        self,
        *,
        limits: CacheLimits | None = None,
        wait_s: float = 5.0,
        guard: Mapping[str, float] | None = None,
        **options: Any,
    ) -> AnswerCache:
        tiers = [
            Tier(
                GuardedStore(store, clock=self.clock, **(guard or {})),
                vectors=name in self.vectors_in,
            )
            for name, store in self.connected().items()
        ]
        shared = SharedState(
            **{
                "tiers": tiers,
                "embedder": "fake/2",
                "dimension": 2,
                "fingerprint": "config",
                "clock": self.clock,
                "limits": limits,
                **options,
            }
        )
        return AnswerCache(shared, wait_s=wait_s)
