"""The whole API on loopback: the production adapters over the vendors' wire format, documents
in memory, no rate limit."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import uvicorn

from builders import chunk
from fakes import InMemoryBucket, InMemoryLedger
from integration.vendored import TEXTS, vendors
from security.fuzz.counting import Counting
from security.fuzz.gateway import Gateway
from steadyrag.api import create_app
from steadyrag.api.documents import documents_router
from steadyrag.api.feedback import feedback_router
from steadyrag.api.health import health_router
from steadyrag.api.lambda_handler import lambda_handler
from steadyrag.api.search import search_router
from steadyrag.documents import DocumentParts
from steadyrag.domain.models import EmbeddedChunk
from steadyrag.settings import load
from steadyrag.wiring.readiness import breaker_states, probes
from steadyrag.wiring.search_ids import search_ids
from steadyrag.wiring.service import build, rate_limit

NO_LIMIT = {"STEADYRAG_RATE_LIMIT": "off", "STEADYRAG_KEY_RATE_LIMIT": "off"}


@contextlib.contextmanager
def served(*, by_lambda: bool = False) -> Iterator[tuple[str, Counting]]:
    """The API's address and what it counts; through the Lambda handler's adapter, or as
    `steadyrag serve` has it."""
    with vendors() as running, contextlib.ExitStack() as ending:
        environment = {**running.environment, **NO_LIMIT}
        asyncio.run(_fill(environment))
        running.pinecone.settle()
        counting = Counting(_app(environment))
        if by_lambda:
            gateway = Gateway(lambda: lambda_handler(counting))
            ending.callback(gateway.close)
            yield ending.enter_context(serving(gateway)), counting
        else:
            yield ending.enter_context(serving(counting)), counting


def _app(environment: Mapping[str, str]) -> Any:
    settings = load(environment)
    service = build(settings)
    return create_app(
        [
            search_router(service, rate_limit(settings, service.stores)),
            feedback_router(search_ids(settings)),
            health_router(probes(service), breakers=partial(breaker_states, service)),
            documents_router(DocumentParts(InMemoryBucket(), InMemoryLedger(), time.time)),
        ]
    )


async def _fill(environment: Mapping[str, str]) -> None:
    service = build(load(environment))
    made = await service.embedder.embed_passages(list(TEXTS.values()))
    chunks = [
        EmbeddedChunk(chunk(text, id=name, document_id=name, title=name), vector)
        for (name, text), vector in zip(TEXTS.items(), made.vectors, strict=True)
    ]
    await service.index.upsert("default", chunks)
    await service.aclose()


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """`app` on a free port of 127.0.0.1, in a thread."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="error", access_log=False, proxy_headers=False
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="api")
    thread.start()
    while not server.started:
        thread.join(0.01)
        assert thread.is_alive(), "the server did not start"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
