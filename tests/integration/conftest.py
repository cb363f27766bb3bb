import asyncio
from collections.abc import Iterator

import pytest

from builders import chunk
from integration.vendored import TEXTS, Vendors, vendors
from steadyrag.domain.models import EmbeddedChunk
from steadyrag.settings import load
from steadyrag.wiring.service import build


async def _fill(environment) -> None:
    service = build(load(environment))
    made = await service.embedder.embed_passages(list(TEXTS.values()))
    chunks = [
        EmbeddedChunk(chunk(text, id=name, document_id=name, title=name), vector)
        for (name, text), vector in zip(TEXTS.items(), made.vectors, strict=True)
    ]
    await service.index.upsert("default", chunks)
    await service.aclose()


@pytest.fixture(scope="module")
def filled() -> Iterator[Vendors]:
    with vendors() as running:
        asyncio.run(_fill(running.environment))
        running.pinecone.settle()
        yield running


@pytest.fixture
def local(filled: Vendors) -> Vendors:
    """Both vendors, healthy, holding `TEXTS`, with nothing on record."""
    filled.forget()
    return filled
