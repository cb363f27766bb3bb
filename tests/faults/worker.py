"""A worker of `integration.fleet`: one environment with the whole service, as a process.

The service is what the `STEADYRAG_` variables of its environment say. An order is a method of
`Environment`; what it returns is the answer, as JSON.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from faults.asking import Reply, application, ask
from integration.fleet import obey
from steadyrag.resilience.guarded_store import GuardedStore
from steadyrag.search import Service
from steadyrag.settings import Settings, load
from steadyrag.wiring.service import build

PATIENT_S = 5.0
"""For every call of a store, connecting included. In service one that takes longer than a
tenth of a second is a miss; here a busy machine must not look like a slow store."""


def patient_stores(
    settings: Settings, *, clock: Callable[[], float] = time.time
) -> list[GuardedStore]:
    """The shared stores of these settings, with time to answer on a busy machine. DynamoDB
    is where `AWS_ENDPOINT_URL_DYNAMODB` says."""
    patience: dict[str, Any] = {
        "timeout_s": PATIENT_S,
        "connect_timeout_s": PATIENT_S,
        "clock": clock,
    }
    stores: list[Any] = []
    if settings.cache_url:
        from steadyrag.adapters.valkey import ValkeyStore

        stores.append(ValkeyStore(url=settings.cache_url, prefix="", **patience))
    if settings.table_prefix:
        from steadyrag.adapters.dynamodb import DynamoStore

        stores.append(DynamoStore(table=f"{settings.table_prefix}cache", **patience))
    return [patient(store, clock=clock) for store in stores]


def patient(store: Any, *, clock: Callable[[], float] = time.time) -> GuardedStore:
    return GuardedStore(store, timeout_s=PATIENT_S, connect_s=PATIENT_S, clock=clock)


class Environment:
    """Its orders are its public methods."""

    def __init__(self) -> None:
        self._service = _service({})
        self._app = application(self._service)

    async def anew(self, *, variables: Mapping[str, str]) -> str:
        """Ends the service and begins one with these variables besides the process's own:
        another environment, which finds no more than the imports done."""
        await self._service.aclose()
        self._service = _service(variables)
        self._app = application(self._service)
        return "ready"

    async def ask(
        self, *, questions: Sequence[str], times: int = 1, refresh: bool = False, **fields: Any
    ) -> list[dict[str, Any]]:
        """Each question `times` times, all at once; what matters of each reply. `fields` are
        further fields of the bodies."""
        asked = [question for question in questions for _ in range(times)]
        replies = await asyncio.gather(
            *(ask(self._app, question, refresh=refresh, **fields) for question in asked)
        )
        return [essentials(reply) for reply in replies]

    async def aclose(self) -> None:
        await self._service.aclose()


def _service(variables: Mapping[str, str]) -> Service:
    settings = load({**os.environ, **variables})
    return build(settings, stores=patient_stores(settings))


def essentials(reply: Reply) -> dict[str, Any]:
    """What of a reply fits on a line; of one that is no answer, its status and time."""
    told = {"status": reply.status, "seconds": reply.seconds}
    if reply.status == 200:
        told |= {name: reply.body[name] for name in ("answer", "mode", "degraded")}
        told |= {"cache": reply.body["cache"]["status"], "tier": reply.body["cache"]["tier"]}
    return told


async def main() -> None:
    logging.getLogger("steadyrag").setLevel(logging.ERROR)  # what is broken on purpose is no news
    environment = Environment()
    await obey(environment)
    await environment.aclose()


if __name__ == "__main__":
    asyncio.run(main())
