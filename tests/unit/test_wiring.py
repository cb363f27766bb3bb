import pytest

from fakes import FakeEmbedder, InMemoryIndex
from steadyrag.domain.errors import Unavailable
from steadyrag.resilience.breakers import Breakers
from steadyrag.settings import load
from steadyrag.wiring.service import build


async def test_circuits_that_are_passed_in_guard_the_embedder_too():
    breakers, embedder = Breakers(), FakeEmbedder()
    embedder.fail(Unavailable("embedding", "down"))
    service = build(
        load({"STEADYRAG_RERANKER": "none"}),
        embedder=embedder,
        index=InMemoryIndex(),
        breakers=breakers,
    )
    for _ in range(3):  # each with a second try
        with pytest.raises(Unavailable):
            await service.embedder.embed_query("What?")
    assert embedder.calls.total() == 5
    assert service.breakers is breakers
    assert breakers.state("embedding") == "open"
    await service.aclose()
