"""Another environment on the same store, as a process."""

import asyncio
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

from steadyrag.adapters.dynamodb import DynamoStore
from steadyrag.adapters.valkey import ValkeyStore
from steadyrag.domain.errors import DependencyError
from steadyrag.domain.ports import SharedStore

SIZE = 8

PATIENT = {"timeout_s": 20.0, "connect_timeout_s": 20.0}
"""What is tested is who counts, not how fast."""

_together: Barrier


def start_processes() -> ProcessPoolExecutor:
    """Eight processes, of which each takes part in every call of `everywhere`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "boto3", "redis.asyncio"])
    return ProcessPoolExecutor(
        SIZE,
        mp_context=context,
        initializer=_prepare,
        initargs=(context.Barrier(SIZE), dict(os.environ)),
    )


def everywhere(
    processes: ProcessPoolExecutor, where: Mapping[str, Any], call: str, times: int, **request: Any
) -> list[Any]:
    """What `times` simultaneous calls in each of the processes returned."""
    parts = [processes.submit(_calls, where, call, times, request) for _ in range(SIZE)]
    return [result for part in parts for result in part.result(60)]


def open_store(*, kind: str, **where: Any) -> SharedStore:
    return (ValkeyStore if kind == "valkey" else DynamoStore)(**PATIENT, **where)


def _prepare(together: Barrier, environment: Mapping[str, str]) -> None:
    """The server that forks these processes may be older than our environment."""
    global _together
    _together = together
    os.environ.update(environment)


def _calls(
    where: Mapping[str, Any], call: str, times: int, request: Mapping[str, Any]
) -> list[Any]:
    async def run() -> list[Any]:
        store = open_store(**where)
        await store.read(["connected"])
        await asyncio.to_thread(_together.wait, 30)
        results = await asyncio.gather(*(getattr(store, call)(**request) for _ in range(times)))
        await store.aclose()
        return results

    try:
        return asyncio.run(run())
    except DependencyError as error:
        raise RuntimeError(str(error)) from None  # ours does not survive the way back
