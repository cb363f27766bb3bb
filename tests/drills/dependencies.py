"""What the service asks: vendors, a store, the live configuration."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from builders import chunk
from drills.virtual_time import Clock
from fakes import FakeEmbedder, FakeGenerator, FakeReranker, InMemoryIndex, InMemoryStore
from steadyrag.domain.live_config import Polled
from steadyrag.domain.models import EmbeddedChunk

USUAL_S: Mapping[str, float] = {
    "embed": 0.09,
    "vector_search": 0.06,
    "keyword_search": 0.05,
    "rerank": 0.11,
    "generate": 0.9,
}
"""Half of all calls take less than that."""

STORE_S = 0.004
NO_CHANGE = b"{}"


class LiveConfigSource:
    """AppConfig as the functions see it."""

    def __init__(self) -> None:
        self.document = NO_CHANGE

    async def poll(self) -> Polled:
        return Polled(self.document, 60.0)

    async def aclose(self) -> None:
        """Holds nothing."""


@dataclass
class Slowed:
    """How many times the usual a stage takes, by the names of `USUAL_S`, for that `share` of
    searches."""

    factors: dict[str, float] = field(default_factory=dict)
    share: float = 1.0


class Dependencies:
    """Fakes that take their time. They are told to fail as in any test."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._rng = rng
        self.embedder = FakeEmbedder(name="text-embedding-3-small/64")
        self.index = InMemoryIndex()
        self.reranker = FakeReranker()
        self.generator = FakeGenerator(model="gpt-6-luna")
        self.store = InMemoryStore(clock=lambda: clock.now, name="dynamodb")
        self.live = LiveConfigSource()
        self.slowed = Slowed()

    async def fill(self, texts: Mapping[str, str]) -> None:
        """Has these documents in the index instead of what is there."""
        await self.index.delete("default", list(self.index.held()))
        made = await self.embedder.embed_passages(list(texts.values()))
        await self.index.upsert(
            "default",
            [
                EmbeddedChunk(chunk(text, id=name, document_id=name), vector)
                for (name, text), vector in zip(texts.items(), made.vectors, strict=True)
            ],
        )

    def next_search(self, *, cold: bool) -> None:
        """How long each takes from now on: mostly about the usual, seldom much longer, and
        longer for a cold environment, which has no connections yet."""
        slowed = self.slowed.factors if self._rng.random() < self.slowed.share else {}

        def took(name: str) -> float:
            hiccup = 3.0 if self._rng.random() < 0.002 else 1.0
            return (
                self._about(USUAL_S[name]) * hiccup * (3.0 if cold else 1.0) * slowed.get(name, 1)
            )

        self.embedder.slow(took("embed"))
        for name in ("vector_search", "keyword_search"):
            self.index.slow(took(name), on=name)
        self.reranker.slow(took("rerank"))
        self.generator.slow(took("generate"), on="generate")
        self.store.slow(self._about(STORE_S))

    def mend(self) -> None:
        for part in (self.embedder, self.index, self.reranker, self.generator, self.store):
            part.heal()
        self.slowed = Slowed()
        self.live.document = NO_CHANGE

    def _about(self, usual_s: float) -> float:
        return usual_s * self._rng.lognormvariate(0, 0.25)
