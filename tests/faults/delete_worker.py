"""One environment, or whoever changes documents, as a process: orders as JSON, line by line.

Reads what to do from standard input, does it beside what it is already doing, and answers
each order with one line that carries the order's number. Its settings are its environment.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from faults.asking import application, ask
from steadyrag.domain.filters import Filter
from steadyrag.forget import forget
from steadyrag.ingest import ingest
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.settings import Settings, load
from steadyrag.wiring.ingest import build_ingest
from steadyrag.wiring.service import build
from steadyrag.wiring.stores import shared_stores

PATIENT_S = 5.0
"""The stores get their time here: a slow one is a miss, and then nothing is shown to delete."""


class Environment:
    """A whole search service."""

    def __init__(self, settings: Settings) -> None:
        stores = [
            GuardedStore(store, timeout_s=PATIENT_S, connect_s=PATIENT_S)
            for store in shared_stores(settings, timeout_s=PATIENT_S)
        ]
        self._app = application(build(settings, stores=stores))

    async def ask(
        self, *, question: str, namespace: str, refresh: bool = False, after_s: float = 0.0
    ) -> dict[str, Any]:
        """The answer, and when the request began, by the clock all processes share."""
        await asyncio.sleep(after_s)
        began_at = time.monotonic()
        reply = await ask(self._app, question, refresh=refresh, namespace=namespace)
        return {"status": reply.status, "body": reply.body, "began_at": began_at}


class Editor:
    """Takes documents in and out, as `steadyrag ingest` and `steadyrag index delete` do."""

    def __init__(self, settings: Settings) -> None:
        self._parts = build_ingest(settings)

    async def ingest(self, *, folder: str, namespace: str) -> dict[str, Any]:
        corpus = self._parts.files([Path(folder)], None)
        done = await ingest(corpus, self._parts, namespace=namespace)
        return {"added": done.added, "failed": len(done.failed)}

    async def forget(self, *, document_id: str, namespace: str) -> dict[str, Any]:
        gone = await forget([document_id], self._parts, namespace=namespace)
        return {"documents": gone.documents, "acknowledged_at": time.monotonic()}

    async def found(self, *, question: str, document_id: str, namespace: str) -> dict[str, Any]:
        """Whether the index itself still finds the document."""
        hits = await self._parts.index.keyword_search(
            question, top_k=10, namespace=namespace, filter=Filter()
        )
        return {"found": any(hit.chunk.document_id == document_id for hit in hits)}


async def main(role: str) -> None:
    logging.disable(logging.WARNING)
    does = {"environment": Environment, "editor": Editor}[role](load())
    working: set[asyncio.Task[None]] = set()

    async def obey(number: int, do: str, order: dict[str, Any]) -> None:
        outcome = await getattr(does, do)(**order)
        print(json.dumps({"number": number, **outcome}), flush=True)

    print(json.dumps("ready"), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        task = asyncio.create_task(obey(order.pop("number"), order.pop("do"), order))
        working.add(task)
        task.add_done_callback(working.discard)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
