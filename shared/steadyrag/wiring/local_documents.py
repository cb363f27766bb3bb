"""Documents in and out on this machine: a folder as the bucket, and a worker in the process."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steadyrag.domain.letters import Sweep, event_letter, sweep_letter
from steadyrag.wiring import parts as chosen
from steadyrag.wiring.documents import build_reconcile
from steadyrag.wiring.ingest import announced_changes

if TYPE_CHECKING:
    from steadyrag.adapters.local.queue import LocalQueue
    from steadyrag.documents import DocumentParts
    from steadyrag.ingest_worker import WorkerParts
    from steadyrag.settings import Settings

log = logging.getLogger(__name__)

WORK_S = 120.0
"""Of one batch. A lease outlasts it, so after a kill a document waits as long."""

_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class LocalDocuments:
    """What the document routes need, and the worker that does what they ask for."""

    parts: DocumentParts
    queue: LocalQueue
    worker: WorkerParts

    async def work(self) -> None:
        """Until it is cancelled. Begins with what an earlier process left undone."""
        from steadyrag.ingest_worker import work

        await self.queue.send(sweep_letter(Sweep()))
        while True:
            letters = await self.queue.receive()
            owner = uuid.uuid4().hex
            try:
                failed = await work(letters, self.worker, owner=owner, seconds=WORK_S)
            except Exception:  # whatever it is, the next documents are not to blame
                log.exception("documents wait")
                failed = [letter.id for letter in letters]
            for letter in letters:
                if letter.id in failed:
                    self.queue.give_back(letter, delay_s=_AGAIN_S)

    async def aclose(self) -> None:
        await self.worker.aclose()
        await self.parts.aclose()


def build_local_documents(settings: Settings) -> LocalDocuments:
    """Kept in the data directory, beside the index."""
    from steadyrag.adapters.local.bucket import LocalBucket
    from steadyrag.adapters.local.ledger import SqliteLedger
    from steadyrag.adapters.local.queue import LocalQueue, LoggedQueue
    from steadyrag.documents import DocumentParts
    from steadyrag.domain.objects import ObjectEvent
    from steadyrag.ingest_worker import WorkerParts
    from steadyrag.resilience.pause import Pause

    bucket = LocalBucket(settings.data_dir / "documents")
    ledger = SqliteLedger(chosen.catalogue_path(settings))
    changes, queue = announced_changes(settings), LocalQueue()

    async def tell(event: ObjectEvent) -> None:
        await queue.send(event_letter(event))

    return LocalDocuments(
        parts=DocumentParts(
            bucket=bucket,
            ledger=ledger,
            clock=time.time,
            changes=changes,
            tell=tell,
            bucket_tells=False,
        ),
        queue=queue,
        worker=WorkerParts(
            reconcile=build_reconcile(settings, bucket=bucket, ledger=ledger, changes=changes),
            queue=queue,
            dead=LoggedQueue(),
            pause=Pause([]),
        ),
    )
