"""Sets of golden questions in the documents' bucket, which several people may change at once."""

from __future__ import annotations

import asyncio
import logging
import random
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steadyrag.domain.errors import InvalidInput, Refused, Unavailable
from steadyrag.domain.golden import (
    MOST_QUESTIONS,
    PREFIX,
    GoldenQuestion,
    Standing,
    namespace_of,
    questions_key,
    read_questions,
    read_standings,
    standings_key,
    written_questions,
    written_standings,
)
from steadyrag.domain.ledger import Bucket, Changed

log = logging.getLogger(__name__)

TRIES = 20
"""Of a change, each after somebody else's. Of as many at once none is lost."""

type Change = Callable[[Sequence[GoldenQuestion]], Sequence[GoldenQuestion]]


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """The questions of a namespace, and how they stand, by id. `stamp` is of the object that
    holds the latter; empty where there is none yet."""

    namespace: str
    questions: Sequence[GoldenQuestion] = ()
    standings: Mapping[str, Standing] = field(default_factory=dict)
    stamp: str = ""


class GoldenSets:
    """Everything begins with a listing: so a role needs no right to look for what isn't there."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def aclose(self) -> None:
        await self._bucket.aclose()

    async def read(
        self, namespace: str | None = None, *, tolerant: bool = False
    ) -> list[GoldenSet]:
        """Those that have questions, by name: all, or one. For a set that can't be read it raises
        `InvalidInput`, which names the object, or `Refused`, which S3 also says of one that went
        since the listing; who is `tolerant` finds either in the log."""
        keys = {one.key async for one in self._bucket.objects(PREFIX)}
        found: list[GoldenSet] = []
        for name in sorted({name for key in keys if (name := namespace_of(key))}):
            if namespace not in (None, name):
                continue
            try:
                found.append(await self._set(name, keys))
            except (InvalidInput, Refused) as error:
                if not tolerant:
                    raise
                log.error("golden set not read", extra={"namespace": name, "reason": str(error)})
        return [one for one in found if one.questions]

    async def put(self, namespace: str, question: GoldenQuestion) -> None:
        """Adds the question, or replaces the one of the same text. Raises `InvalidInput` when
        there are too many."""

        def added(questions: Sequence[GoldenQuestion]) -> Sequence[GoldenQuestion]:
            others = [one for one in questions if one.id != question.id]
            if len(others) >= MOST_QUESTIONS:
                problem = f"there are {len(others):,} in {namespace} already; remove one first"
                raise InvalidInput("question", problem)
            return [*others, question]

        await self._change(namespace, added)

    async def remove(self, namespace: str, id: str) -> GoldenQuestion | None:
        """The question that was removed; None where there was none of this id."""
        removed: list[GoldenQuestion] = []

        def without(questions: Sequence[GoldenQuestion]) -> Sequence[GoldenQuestion]:
            removed[:] = [one for one in questions if one.id == id]
            return [one for one in questions if one.id != id]

        await self._change(namespace, without)
        return removed[0] if removed else None

    async def settle(self, golden: GoldenSet, asked: Mapping[str, Standing]) -> None:
        """Keeps how questions stand, as they were when they were last asked by anybody; those
        that are no longer in the set are forgotten."""
        gone = golden.standings.keys() - {one.id for one in golden.questions}
        key, known, stamp = standings_key(golden.namespace), golden.standings, golden.stamp

        async def once() -> None:
            nonlocal known, stamp
            newest = {name: one for name, one in known.items() if name not in gone}
            for name, one in asked.items():
                if name not in newest or newest[name].asked_at <= one.asked_at:
                    newest[name] = one
            content = written_standings(newest)
            if content == written_standings(known):
                return
            try:
                await self._bucket.replace(key, content, stamp=stamp)
            except Changed:
                known, stamp = await self._standings(golden.namespace)
                raise

        await self._tried(once)

    async def _change(self, namespace: str, change: Change) -> None:
        key = questions_key(namespace)

        async def once() -> None:
            content, stamp = await self._content(key)
            questions = _questions(key, content) if stamp else []
            changed = list(change(questions))
            if changed != questions:
                await self._bucket.replace(key, written_questions(changed), stamp=stamp)

        await self._tried(once)

    async def _tried(self, once: Callable[[], Awaitable[None]]) -> None:
        for number in range(TRIES):
            try:
                return await once()
            except Changed:
                await asyncio.sleep(random.uniform(0, 0.05 * number))  # noqa: S311
        raise Unavailable(self._bucket.name, "was changed by others each time; try again")

    async def _set(self, namespace: str, keys: set[str]) -> GoldenSet:
        key = questions_key(namespace)
        content, stamp = await self._content(key)
        questions = _questions(key, content) if stamp else []
        if standings_key(namespace) not in keys:
            return GoldenSet(namespace, questions)
        return GoldenSet(namespace, questions, *await self._standings(namespace))

    async def _standings(self, namespace: str) -> tuple[Mapping[str, Standing], str]:
        """What nobody can read is as good as nothing: it is written anew."""
        key = standings_key(namespace)
        content, stamp = await self._content(key)
        try:
            return (read_standings(content) if stamp else {}), stamp
        except InvalidInput as error:
            log.warning("golden standings ignored", extra={"key": key, "reason": str(error)})
            return {}, stamp

    async def _content(self, key: str) -> tuple[bytes, str]:
        """An object and its stamp, which is empty where there is none."""
        with tempfile.TemporaryDirectory(prefix="steadyrag-golden-") as folder:
            into = Path(folder) / "set"
            fetched = await self._bucket.fetch(key, str(into))
            return (into.read_bytes(), fetched.object.stamp) if fetched else (b"", "")


def _questions(key: str, content: bytes) -> list[GoldenQuestion]:
    try:
        return read_questions(content)
    except InvalidInput as error:
        raise InvalidInput(f"{key}: {error.field}", error.problem) from None
