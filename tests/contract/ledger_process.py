"""Another worker on the same ledger, as a process."""

import asyncio
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

from steadyrag.adapters.dynamodb_ledger import DynamoDbLedger
from steadyrag.adapters.local.ledger import SqliteLedger
from steadyrag.domain.ledger import Held, LeaseLost, Ledger, Outcome
from steadyrag.domain.objects import Place
from steadyrag.domain.ports import DocumentRecord

SIZE, ROUNDS = 4, 20

_together: Barrier


class LedgerAcrossProcesses:
    """Wants a fixture `where` for `open_ledger`."""

    def test_four_processes_that_fight_for_documents_each_win_alone(
        self, where: dict[str, Any]
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, "boto3"])
        with ProcessPoolExecutor(
            SIZE,
            mp_context=context,
            initializer=_prepare,
            initargs=(context.Barrier(SIZE), dict(os.environ)),
        ) as pool:
            parts = [pool.submit(_fight, where, worker) for worker in range(SIZE)]
            won = [part.result(90) for part in parts]
        assert [sum(one[n] for one in won) for n in range(ROUNDS)] == [1] * ROUNDS


def open_ledger(*, kind: str, **where: Any) -> Ledger:
    return SqliteLedger(**where) if kind == "sqlite" else DynamoDbLedger(**where)


def _prepare(together: Barrier, environment: Mapping[str, str]) -> None:
    """The server that forks these processes may be older than our environment."""
    global _together
    _together = together
    os.environ.update(environment)


def _fight(where: Mapping[str, Any], worker: int) -> list[bool]:
    """In which rounds this worker got the document, wrote to it and settled it."""

    async def run() -> list[bool]:
        ledger, owner = open_ledger(**where), f"worker-{worker}"
        await ledger.look_up(Place("default", "connected"))
        won: list[bool] = []
        for turn in range(ROUNDS):
            place = Place("default", f"{turn}.md")
            await asyncio.to_thread(_together.wait, 60)
            try:
                await ledger.claim(place, owner=owner, until=10**12)
            except Held:
                won.append(False)
            else:
                won.append(True)
            # Everybody has tried before anybody gives the lease back.
            await asyncio.to_thread(_together.wait, 60)
            record = DocumentRecord(place.document_id, owner, "f", (owner,))
            try:
                await ledger.owned_by(owner).put("default", record)
                await ledger.settle(place, owner=owner, mark="", outcome=Outcome("indexed"))
            except LeaseLost:
                assert not won[-1]
            else:
                assert won[-1]
        await ledger.aclose()
        return won

    return asyncio.run(run())
