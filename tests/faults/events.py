"""Documents by events, on a day when nothing goes right.

Keys of a bucket (300 in full) are put, overwritten and deleted while workers take in what the
events say. Each event is delivered one to three times, in random order; every tenth call of a
vendor fails; workers are killed at random. In the end the index must hold what the bucket does.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from rich.console import RenderableType
from rich.table import Table

from faults.figures import Figure
from faults.filling import create_index, order
from faults.world import TESTS, World
from steadyrag.adapters.dynamodb_table import ensure_documents_table
from steadyrag.adapters.parsers.isolated import IsolatedParsers
from steadyrag.domain.chunking import chunk_document
from steadyrag.domain.letters import event_letter
from steadyrag.domain.objects import Attributes, Layout, ObjectEvent, Place
from steadyrag.domain.tokens import estimate_tokens
from steadyrag.progress import progress
from steadyrag.settings import load
from steadyrag.wiring.documents import build_documents, parse_file

WORKERS = 3
NAMESPACE = "default"
EVENTS_A_KEY, EVENTS_A_KILL, EVENTS_A_SECOND = 2_000 / 300, 40, 2_000 / 60
_LATEST_S = 8
_DONE_WITHIN_S = 600.0
_SEED = 20_261_125

_FAILING: list[dict[str, Any]] = [
    {"operation": "*", "share": 0.05, "fault": {"kind": "status", "status": 503}},
    {
        "operation": "*",
        "share": 0.03,
        "fault": {"kind": "status", "status": 429, "retry_after_s": 0.3},
    },
    {"operation": "*", "share": 0.01, "fault": {"kind": "reset"}},
    {"operation": "*", "share": 0.01, "fault": {"kind": "half"}},
]


def run(around: World) -> tuple[list[Figure], list[RenderableType]]:
    day = _Day(around)
    with day.workers():
        day.happen()
        day.calm_down()
    return day.figures(), [day.table()]


@dataclass
class _Day:
    around: World
    kills: int = 0
    killed_at_work: int = 0
    deliveries: int = 0
    took_s: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lots = random.Random(_SEED)  # noqa: S311
        self._there: dict[str, bytes] = {}

    @cached_property
    def environment(self) -> dict[str, str]:
        prefix, url = self.around.new_table(), self.around.local_aws.url
        ensure_documents_table(prefix, endpoint_url=url, region=os.environ["AWS_DEFAULT_REGION"])
        os.environ["AWS_ENDPOINT_URL"] = url
        name = f"{prefix}documents"
        boto3.client("s3").create_bucket(
            Bucket=name,
            CreateBucketConfiguration={"LocationConstraint": os.environ["AWS_DEFAULT_REGION"]},
        )
        boto3.client("s3").put_bucket_versioning(
            Bucket=name, VersioningConfiguration={"Status": "Enabled"}
        )
        queues = boto3.client("sqs")
        dead = queues.create_queue(QueueName=f"{prefix}dead")["QueueUrl"]
        arn = queues.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        redrive = {
            "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
            "maxReceiveCount": "10",
        }
        waiting = queues.create_queue(
            QueueName=f"{prefix}ingest", Attributes={"RedrivePolicy": json.dumps(redrive)}
        )["QueueUrl"]
        settings = {
            **self.around.vendors(),
            "STEADYRAG_TABLE_PREFIX": prefix,
            "STEADYRAG_CACHE_URL": self.around.valkey.url,
            "STEADYRAG_DOCUMENTS_BUCKET": name,
            "STEADYRAG_INGEST_QUEUE_URL": waiting,
            "STEADYRAG_DEAD_QUEUE_URL": dead,
        }
        asyncio.run(create_index(load(settings)))
        for vendor in (settings["OPENAI_BASE_URL"], settings["PINECONE_CONTROLLER_HOST"]):
            order(vendor, "_faults", {"orders": _FAILING})
        return {**os.environ, **settings}

    @contextmanager
    def workers(self) -> Iterator[None]:
        self._running = [self._start() for _ in range(WORKERS)]
        try:
            yield
        finally:
            for worker in self._running:
                if worker.stdin is not None:
                    worker.stdin.close()
            for worker in self._running:
                worker.wait(30)

    def happen(self) -> None:
        """Operations on the bucket, their events, and kills in between."""
        due: list[tuple[float, str]] = []
        events, kills = self.around.events, self._kills_wanted
        kills_after = sorted(self._lots.sample(range(events // 40, events), kills))
        started = time.monotonic()
        with progress("Putting, deleting and killing") as advance:
            for number in range(events):
                body = self._operate(number)
                for _ in range(self._lots.choice([1, 2, 3])):
                    late_s = self._lots.random() * _LATEST_S
                    due.append((time.monotonic() + late_s, body))
                while kills_after and number >= kills_after[0]:
                    kills_after.pop(0)
                    self._kill_one()
                due = self._deliver(due)
                wait_s = started + number / EVENTS_A_SECOND - time.monotonic()
                time.sleep(max(0.0, wait_s))
                advance(number + 1, events, "")
        while due:
            time.sleep(0.1)
            due = self._deliver(due)
        self.took_s = time.monotonic() - started

    def calm_down(self) -> None:
        """Until the queue is empty, with the vendors failing all the while."""
        started = time.monotonic()
        with progress("Waiting for the queue to become empty") as advance:
            quiet = 0
            while quiet < 3:
                if time.monotonic() - started > _DONE_WITHIN_S:
                    raise SystemExit("the queue does not become empty")
                waiting = self._waiting("STEADYRAG_INGEST_QUEUE_URL")
                quiet = quiet + 1 if waiting == 0 else 0
                advance(0, 1, f"{waiting} messages")
                time.sleep(0.5)
        self.took_s += time.monotonic() - started

    def figures(self) -> list[Figure]:
        should, does = self._should_hold(), self._holds()
        missing, surplus = should.items() - does.items(), does.items() - should.items()
        dead = self._waiting("STEADYRAG_DEAD_QUEUE_URL")
        unsettled = asyncio.run(self._unsettled())
        equal = not missing and not surplus and not dead and not unsettled
        return [
            Figure(
                "documents by events",
                f"after {self.around.events:,} events the index equals the bucket",
                f"{len(does):,} chunks of {len(self._there)} documents, {len(missing)} missing, "
                f"{len(surplus)} too many, {dead} in the dead-letter queue; "
                f"{self.deliveries:,} deliveries, {self.kills} kills "
                f"({self.killed_at_work} in the middle of work)",
                equal and self.kills == self._kills_wanted,
                {
                    "events": self.around.events,
                    "deliveries": self.deliveries,
                    "kills": self.kills,
                    "killed_at_work": self.killed_at_work,
                    "chunks": len(does),
                    "missing": len(missing),
                    "surplus": len(surplus),
                    "dead": dead,
                    "unsettled": unsettled,
                    "seconds": round(self.took_s, 1),
                },
            )
        ]

    def table(self) -> Table:
        table = Table("what happened", "", box=None, pad_edge=False)
        for kind, count in sorted(self.kinds.items()):
            table.add_row(kind, f"{count:,}")
        table.add_row("seconds", f"{self.took_s:.0f}")
        return table

    @property
    def _kills_wanted(self) -> int:
        return max(1, round(self.around.events / EVENTS_A_KILL))

    def _operate(self, number: int) -> str:
        """One change of the bucket; its event."""
        name = f"d{self._lots.randrange(round(self.around.events / EVENTS_A_KEY)):03}.md"
        key = Layout().key(Place(NAMESPACE, name))
        bucket = boto3_client("s3")
        if name in self._there and self._lots.random() < 0.3:
            self.kinds["deletes"] += 1
            del self._there[name]
            bucket.delete_object(Bucket=self.environment["STEADYRAG_DOCUMENTS_BUCKET"], Key=key)
        else:
            self.kinds["overwrites" if name in self._there else "puts"] += 1
            self._there[name] = content = self._text(name, number).encode()
            bucket.put_object(
                Bucket=self.environment["STEADYRAG_DOCUMENTS_BUCKET"], Key=key, Body=content
            )
        event = ObjectEvent(
            self.environment["STEADYRAG_DOCUMENTS_BUCKET"], key, f"{number:016X}", time.time()
        )
        return event_letter(event)

    def _text(self, name: str, number: int) -> str:
        """Some of it as in the version before, some of it new: one to about ten chunks."""
        parts = [f"# {name}\n"]
        for section in range(self._lots.choice([1, 2, 8])):
            version = number if self._lots.random() < 0.5 else 0
            lines = (f"Line {n} of part {section}, version {version}." for n in range(60))
            parts.append(f"## Part {section}\n\n{' '.join(lines)}\n")
        return "\n".join(parts)

    def _deliver(self, due: list[tuple[float, str]]) -> list[tuple[float, str]]:
        now = time.monotonic()
        ready = [body for at, body in due if at <= now]
        self._lots.shuffle(ready)
        queue = boto3_client("sqs")
        for start in range(0, len(ready), 10):
            some = ready[start : start + 10]
            queue.send_message_batch(
                QueueUrl=self.environment["STEADYRAG_INGEST_QUEUE_URL"],
                Entries=[{"Id": str(n), "MessageBody": body} for n, body in enumerate(some)],
            )
            self.deliveries += len(some)
        return [(at, body) for at, body in due if at > now]

    def _kill_one(self) -> None:
        place = self._lots.randrange(len(self._running))
        worker = self._running[place]
        self.killed_at_work += self._leases() > 0
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        self.kills += 1
        self._running[place] = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "faults.events_worker"],
            cwd=TESTS,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )

    def _leases(self) -> int:
        """Messages that somebody is at work on, or was when it was killed."""
        attributes = boto3_client("sqs").get_queue_attributes(
            QueueUrl=self.environment["STEADYRAG_INGEST_QUEUE_URL"],
            AttributeNames=["ApproximateNumberOfMessagesNotVisible"],
        )
        return int(attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"])

    def _waiting(self, queue: str) -> int:
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        told = boto3_client("sqs").get_queue_attributes(
            QueueUrl=self.environment[queue], AttributeNames=names
        )["Attributes"]
        return sum(int(told.get(name, 0)) for name in names)

    def _should_hold(self) -> dict[str, str]:
        """Text by id of the chunks that the bucket's objects make, worked out here anew."""
        parse, settings = parse_file(IsolatedParsers()), load(self.environment)
        held: dict[str, str] = {}
        with tempfile.TemporaryDirectory() as folder:
            for name, content in self._there.items():
                path = Path(folder) / "content"
                path.write_bytes(content)
                document = parse(path, name, Attributes())
                chunks = chunk_document(document, estimate_tokens, max_tokens=settings.chunk_tokens)
                held |= {chunk.id: chunk.text for chunk in chunks}
        return held

    def _holds(self) -> dict[str, str]:
        """The same of the vendor's index, by its own account."""
        address = f"{self.environment['PINECONE_CONTROLLER_HOST']}/_held/docs/{NAMESPACE}"
        with urllib.request.urlopen(address, timeout=30) as response:  # noqa: S310
            held: dict[str, str] = json.loads(response.read())
        return held

    async def _unsettled(self) -> int:
        """Entries of the ledger that do not say what the bucket does."""
        ledger = build_documents(load(self.environment)).ledger
        wrong = 0
        async for entry in ledger.entries(NAMESPACE):
            wanted = "indexed" if entry.document_id in self._there else "deleted"
            wrong += entry.status != wanted
        await ledger.aclose()
        return wrong


def boto3_client(service: str) -> Any:
    if service not in _CLIENTS:
        _CLIENTS[service] = boto3.client(service)
    return _CLIENTS[service]


_CLIENTS: dict[str, Any] = {}
