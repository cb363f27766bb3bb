"""A deleted document, asked for at once and everywhere.

250 namespaces hold a document that will be deleted and one that stays. Each lives through
this, beside the others: ingested, asked by four environments until all of them have the
answer in memory, deleted while they ask, asked again the moment the delete is acknowledged,
and once more when the index has caught up. In the end half of them have new answers stored;
then the index is lost, and what is held is all there is. A few namespaces of which nothing is
deleted show that the caches would have answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from faults.figures import Figure
from faults.filling import create_index, order
from faults.world import TESTS, World
from steadyrag.progress import progress
from steadyrag.settings import load

ENVIRONMENTS = 4
DELETED, KEPT = 250, 10
"""Namespaces, with a delete and without."""
VISIBLE_AFTER_S = 3.0
SETTLE_S = 6.0
CAUGHT_UP_S = VISIBLE_AFTER_S + 0.5
_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Subject:
    """A namespace with its two documents; `secret` occurs in the one to delete only."""

    namespace: str
    secret: str
    number: int

    @property
    def question(self) -> str:
        return f"What is the launch code of station {self.number}?"

    @property
    def document_id(self) -> str:
        return f"{self.namespace}/code.md"

    def write(self, base: Path) -> Path:
        folder = base / self.namespace
        folder.mkdir()
        (folder / "code.md").write_text(
            f"The launch code of station {self.number} is {self.secret}.\n", encoding="utf-8"
        )
        (folder / "rules.md").write_text(
            f"Station {self.number} asks for its launch code twice a day.\n", encoding="utf-8"
        )
        return folder

    def shown(self, body: Mapping[str, Any]) -> bool:
        """Whether anything of the document to delete is in an answer."""
        documents = [source["document_id"] for source in body.get("sources", ())]
        return self.secret in json.dumps(body) or self.document_id in documents


class Worker:
    """A process that takes several orders at once."""

    @classmethod
    async def started(cls, role: str, environment: Mapping[str, str]) -> Worker:
        worker = cls()
        worker._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "faults.delete_worker",
            role,
            cwd=TESTS,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
        )
        assert await worker._process.stdout.readline(), "a process did not start"
        worker._listening = asyncio.create_task(worker._listen())
        return worker

    def __init__(self) -> None:
        self._process: Any = None
        self._listening: asyncio.Task[None] | None = None
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._number = 0

    async def do(self, what: str, **order: Any) -> dict[str, Any]:
        self._number += 1
        self._asked[self._number] = told = asyncio.get_running_loop().create_future()
        line = json.dumps({"number": self._number, "do": what, **order}) + "\n"
        self._process.stdin.write(line.encode())
        return await asyncio.wait_for(told, 60)

    async def stop(self) -> None:
        self._process.stdin.close()
        await self._process.wait()
        await self._listening

    async def _listen(self) -> None:
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            self._asked.pop(told.pop("number")).set_result(told)


@dataclass
class Round:
    """Tries that count. `shown` must stay 0; `answered` quoted the document that stays."""

    tries: int = 0
    shown: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    cache: Counter[str] = field(default_factory=Counter)
    answered: int = 0

    def count(self, subject: Subject, told: Mapping[str, Any]) -> None:
        body = told["body"]
        self.tries += 1
        self.shown += subject.shown(body)
        self.modes[body.get("mode", str(told["status"]))] += 1
        self.cache[body.get("cache", {}).get("status", "")] += 1
        self.answered += f"{subject.namespace}/rules.md" in json.dumps(body)


ROUNDS = {
    "before": "before, from memory",
    "at_once": "the moment it was acknowledged",
    "late": "when the index had caught up",
    "stored": "new answers, stored and held",
    "lost": "with the index lost",
    "kept": "with the index lost, nothing deleted",
}


@dataclass
class Story:
    """One run."""

    editor: Worker
    environments: Sequence[Worker]
    folder: Path
    chance: random.Random
    rounds: Mapping[str, Round] = field(default_factory=lambda: {name: Round() for name in ROUNDS})
    still_found: int = 0
    acknowledged: int = 0

    @cached_property
    def turns(self) -> Mapping[str, asyncio.Semaphore]:
        """How many namespaces may do each at once."""
        limits = {"ingest": 2, "delete": 2, "late": 2, "end": 4}
        return {name: asyncio.Semaphore(limit) for name, limit in limits.items()}

    async def live(self, subject: Subject, *, deleted: bool) -> None:
        """A namespace, until the index has caught up with its delete."""
        async with self.turns["ingest"]:
            folder = await asyncio.to_thread(subject.write, self.folder)
            done = await self.editor.do("ingest", folder=str(folder), namespace=subject.namespace)
            assert done == {"added": 2, "failed": 0}, done
        await asyncio.sleep(SETTLE_S + 0.2)
        async with self.turns["delete"]:
            await asyncio.gather(*(self._warm(subject, worker) for worker in self.environments))
            if not deleted:
                return
            await self._delete(subject)
        await asyncio.sleep(CAUGHT_UP_S)
        async with self.turns["late"]:
            asked = [
                self._ask(subject, worker, refresh=(subject.number + place) % 2 == 0)
                for place, worker in enumerate(self.environments)
            ]
            await self._count("late", subject, asked)

    async def end(self, subject: Subject, *, stored: bool) -> None:
        """New answers for those that may have some; the old ones stay held for the others."""
        async with self.turns["end"]:
            for _ in range(2 if stored else 0):
                asked = [self._ask(subject, worker) for worker in self.environments]
                await self._count("stored", subject, asked)

    async def without_index(self, subject: Subject, *, deleted: bool) -> None:
        async with self.turns["end"]:
            asked = [self._ask(subject, worker, refresh=True) for worker in self.environments]
            await self._count("lost" if deleted else "kept", subject, asked)

    async def _warm(self, subject: Subject, worker: Worker) -> None:
        """Asks until this process answers from memory."""
        for _ in range(5):
            told = await self._ask(subject, worker)
            if told["body"]["cache"] | {"age_s": 0} == _FROM_MEMORY:
                self.rounds["before"].count(subject, told)
                return

    async def _delete(self, subject: Subject) -> None:
        """Questions that meet the delete don't count, but what they leave behind does."""
        meanwhile = [
            asyncio.create_task(
                self._ask(
                    subject,
                    worker,
                    after_s=self.chance.uniform(0, 0.04),
                    refresh=place % 2 == 0,
                )
            )
            for place, worker in enumerate(self.environments)
        ]
        gone = await self.editor.do(
            "forget", document_id=subject.document_id, namespace=subject.namespace
        )
        asked = [self._ask(subject, worker) for worker in self.environments]
        still = self.editor.do(
            "found",
            question=subject.question,
            document_id=subject.document_id,
            namespace=subject.namespace,
        )
        _, found = await asyncio.gather(self._count("at_once", subject, asked), still)
        self.acknowledged += gone["documents"]
        self.still_found += found["found"]
        for told in await asyncio.gather(*meanwhile):
            if told["began_at"] > gone["acknowledged_at"]:
                self.rounds["at_once"].count(subject, told)

    async def _ask(self, subject: Subject, worker: Worker, **how: Any) -> dict[str, Any]:
        return await worker.do("ask", question=subject.question, namespace=subject.namespace, **how)

    async def _count(self, name: str, subject: Subject, asked: Sequence[Any]) -> None:
        for told in await asyncio.gather(*asked):
            self.rounds[name].count(subject, told)


_FROM_MEMORY = {"status": "hit", "tier": "memory", "age_s": 0}


def run(world: World) -> tuple[list[Figure], list[RenderableType]]:
    story = asyncio.run(_tell(world))
    return [_figure(story)], [_table(story)]


async def _tell(world: World) -> Story:
    chance = random.Random(31)  # noqa: S311 - a test's, the same every time
    vendors = world.vendors(visible_after_s=VISIBLE_AFTER_S)
    await create_index(load(vendors))
    with (
        tempfile.TemporaryDirectory(dir=world.directory) as folder,
        progress("Deletes") as advance,
    ):
        environment = dict(vendors) | {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", "."),
            "STEADYRAG_CACHE_URL": world.valkey.url,
            "STEADYRAG_TABLE_PREFIX": world.new_table(),
            "STEADYRAG_DATA_DIR": f"{folder}/data",
            "STEADYRAG_SETTLE_S": f"{SETTLE_S:g}",
            "STEADYRAG_RERANKER": "none",
            "AWS_ENDPOINT_URL_DYNAMODB": world.local_aws.url,
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        }
        workers = await asyncio.gather(
            Worker.started("editor", environment),
            *(Worker.started("environment", environment) for _ in range(ENVIRONMENTS)),
        )
        story = Story(workers[0], workers[1:], Path(folder), chance)
        try:
            await _lives(story, advance, vendors["PINECONE_CONTROLLER_HOST"])
        finally:
            await asyncio.gather(*(worker.stop() for worker in workers))
    return story


async def _lives(story: Story, advance: Any, pinecone: str) -> None:
    subjects = [
        Subject(f"ns{number}", f"heron-{story.chance.randrange(10**9):09}", number)
        for number in range(DELETED + KEPT)
    ]
    doomed = subjects[:DELETED]
    lives = [story.live(subject, deleted=subject in doomed) for subject in subjects]
    for done, life in enumerate(asyncio.as_completed(lives), 1):
        await life
        advance(done, len(lives), "namespaces")
    await asyncio.sleep(SETTLE_S - CAUGHT_UP_S)
    await asyncio.gather(
        *(story.end(subject, stored=subject.number % 2 == 0) for subject in doomed)
    )
    unavailable = {"kind": "status", "status": 503}
    orders = [
        {"operation": operation, "fault": unavailable}
        for operation in ("vector_search", "keyword_search")
    ]
    await asyncio.to_thread(order, pinecone, "_faults", {"orders": orders})
    await asyncio.gather(
        *(story.without_index(subject, deleted=subject in doomed) for subject in subjects)
    )


def _figure(story: Story) -> Figure:
    before, kept = story.rounds["before"], story.rounds["kept"]
    after = [story.rounds[name] for name in ("at_once", "late", "stored", "lost")]
    tries, shown = (sum(getattr(one, what) for one in after) for what in ("tries", "shown"))
    at_once = story.rounds["at_once"].tries
    sharp = before.shown == before.tries == ENVIRONMENTS * (DELETED + KEPT)
    sharp = sharp and story.acknowledged == DELETED and kept.shown == kept.tries > 0
    return Figure(
        name="deleted text shown",
        bar=f"never after the delete is acknowledged, in {ENVIRONMENTS * DELETED:,} tries at once",
        measured=(
            f"{shown} of {tries:,} ({at_once:,} at once); "
            f"before: {before.shown:,} of {before.tries:,}"
        ),
        met=shown == 0 and at_once >= ENVIRONMENTS * DELETED and sharp,
        values={
            "shown": shown,
            "tries": tries,
            "deletes": story.acknowledged,
            "index_still_found_it": story.still_found,
            "rounds": {
                name: {
                    "tries": one.tries,
                    "shown": one.shown,
                    "modes": dict(one.modes),
                    "cache": dict(one.cache),
                }
                for name, one in story.rounds.items()
            },
        },
    )


def _table(story: Story) -> Table:
    table = Table(
        title=f"{story.acknowledged} deletes, which the index showed on {story.still_found} times",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in ("asked", "tries", "shown", "mode", "cache"):
        table.add_column(column, justify="right" if column in ("tries", "shown") else "left")
    for name, title in ROUNDS.items():
        one = story.rounds[name]
        words = [
            ", ".join(f"{n:,} {w}" for w, n in c.most_common()) for c in (one.modes, one.cache)
        ]
        table.add_row(title, f"{one.tries:,}", f"{one.shown:,}", *words)
    return table
