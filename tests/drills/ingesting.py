"""Documents that change, the queue that tells of it, and the function that works it off."""

from documents_rig import DocumentsRig
from drills.aws import Aws, Invocation
from drills.virtual_time import Clock
from fakes import InMemoryIndex
from steadyrag.telemetry.metrics import collecting

TOOK_MS = 500.0


class Ingesting:
    """`runs` is whether Lambda runs the function at all, `crashes` whether it fails as a
    whole."""

    def __init__(self, clock: Clock, aws: Aws, index: InMemoryIndex) -> None:
        self._clock = clock
        self._aws = aws
        self.rig = DocumentsRig(now=clock.now, index=index)
        self.runs = True
        self.crashes = False
        self._waiting: list[tuple[float, str]] = []

    async def change(self, document_id: str, text: str) -> None:
        """Somebody puts a document into the bucket."""
        self.rig.now = self._clock.now
        self._waiting.append((self._clock.now, await self.rig.put(document_id, text)))

    async def minute(self) -> None:
        """The function on what waits, and what SQS says of it."""
        began = self.rig.now = self._clock.now
        self._waiting += [(began, one.body) for one in self.rig.queue.receive(100)]
        if self._waiting and self.runs:
            self._aws.invoked("ingest", Invocation(TOOK_MS, failed=self.crashes), began)
            if not self.crashes:
                bodies = [body for _, body in self._waiting]
                self._waiting.clear()
                with collecting():
                    await self.rig.work(bodies)
        oldest_s = max((began - since for since, _ in self._waiting), default=0.0)
        self._aws.queued("ingest", oldest_s=oldest_s, visible=len(self._waiting), at=began)
        self._aws.queued("ingest-dead", oldest_s=0, visible=self.rig.dead.waiting, at=began)

    def mend(self) -> None:
        """Somebody has looked at what could not be ingested, too."""
        self.runs, self.crashes = True, False
        self.rig.dead.receive(1000)
