"""Every fault of every dependency, and with `--pairs` every two at once: what callers get.

For each, a new environment with cold caches answers two questions. Then the fault begins, and
it is asked that question again (anew: `Cache-Control: no-cache`), new ones one after the other,
and ten more at once. Then everything is well again, a minute passes, and a last new question
must be answered as if nothing had been.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import fastapi.dependencies.models
from rich.console import RenderableType
from rich.table import Table

from faults.asking import Reply, application, ask
from faults.dependencies import (
    DEPENDENCIES,
    KINDS,
    SUBTLE,
    Dependency,
    Kind,
    Neighbourhood,
    fill_index,
    neighbourhood,
)
from faults.figures import Figure
from faults.world import World
from integration.vendored import TEXTS
from servers import REGION
from steadyrag.adapters.dynamodb_table import create_table
from steadyrag.progress import progress
from steadyrag.wiring.parts import preload
from steadyrag.wiring.service import rate_limit

type Cell = tuple[tuple[Dependency, Kind], ...]

KNOWN = "What is the capital of South Korea?"
AT_ONCE = 10
DEADLINE_S = 4.0
PAIRS_DEADLINE_S = 2.0
RECOVERY_S = 61.0
PROCESSES = os.process_cpu_count() or 1
"""Cells tried at the same time. More of them would take the stages' time, of which there is little
in a short deadline, and find stages lost that nobody broke."""

_STAGES: dict[Dependency, str] = {
    "embedding": "embedding",
    "vector": "vector",
    "keyword": "keyword",
    "reranker": "rerank",
    "LLM": "generation",
}
"""A lost LLM loses its fallback as well: both models are behind one API."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a cell's callers saw. `problems` is empty when all was as promised; `modes` counts
    the rungs while the fault lasted; `slowest_s` is the longest that one of them waited."""

    cell: Cell
    problems: list[str]
    modes: Counter[str]
    asked: int
    slowest_s: float


def expected(cell: Cell, *, known: bool) -> tuple[str, set[str]]:
    """The rung and the reasons that this cell must lead to. A `known` question's vector is
    held, and so is its last good answer."""
    lost = {_STAGES[dependency] for dependency, _ in cell if dependency in _STAGES}
    if "generation" in lost:
        lost |= {"fallback"}
    if known:
        lost -= {"embedding"}
    if "embedding" in lost:
        lost -= {"vector"}  # there is nothing to search with
    if lost & {"embedding", "vector"}:
        if "keyword" in lost:
            return ("cached" if known else "canned"), lost - {"rerank", "generation", "fallback"}
        return "keyword_only", lost
    return ("partial" if lost else "full"), lost


def run(world: World) -> tuple[list[Figure], list[RenderableType]]:
    singles: list[Cell] = [((d, k),) for d in DEPENDENCIES for k in KINDS]
    subtle: list[Cell] = [(fault,) for fault in SUBTLE]
    verdicts = _all([*singles, *subtle], world, deadline_s=DEADLINE_S)
    figures = [
        _figure("single faults", verdicts[: len(singles)], DEADLINE_S),
        _figure("subtle faults of vendors", verdicts[len(singles) :], DEADLINE_S),
    ]
    tables: list[RenderableType] = [_table(verdicts), *_complaints(verdicts)]
    if world.pairs:
        two = itertools.combinations(DEPENDENCIES, 2)
        pairs: list[Cell] = [((a, x), (b, y)) for a, b in two for x in KINDS for y in KINDS]
        verdicts = _all(pairs, world, deadline_s=PAIRS_DEADLINE_S)
        figures.append(_figure("pairs of faults", verdicts, PAIRS_DEADLINE_S))
        tables += _complaints(verdicts)
    return figures, tables


def _figure(name: str, verdicts: Sequence[Verdict], deadline_s: float) -> Figure:
    asked = sum(one.asked for one in verdicts)
    right = sum(not one.problems for one in verdicts)
    slowest_s = max(one.slowest_s for one in verdicts)
    modes = sum((one.modes for one in verdicts), Counter[str]())
    return Figure(
        name=f"{name}: {len(verdicts)} cells, {asked:,} requests, deadline {deadline_s:g} s",
        bar="each 200, right rung and reasons, inside its deadline, full again afterwards",
        measured=f"{right} of {len(verdicts)} cells, slowest answer {slowest_s:.2f} s; "
        + ", ".join(f"{mode} {count}" for mode, count in sorted(modes.items())),
        met=right == len(verdicts),
        values={
            "cells": len(verdicts),
            "right": right,
            "requests": asked,
            "slowest_s": slowest_s,
            "deadline_s": deadline_s,
            "modes": dict(modes),
            "problems": {_named(one.cell): one.problems for one in verdicts if one.problems},
        },
    )


def _table(verdicts: Sequence[Verdict]) -> Table:
    by_cell = {one.cell: one for one in verdicts}
    table = Table(title="Rung of a new question, and the slowest answer in seconds", box=None)
    table.add_column("lost")
    for kind in KINDS:
        table.add_column(kind)
    for dependency in DEPENDENCIES:
        row = (by_cell[((dependency, kind),)] for kind in KINDS)
        table.add_row(
            dependency,
            *(
                f"{'WRONG' if one.problems else expected(one.cell, known=False)[0]} "
                f"{one.slowest_s:.2f}"
                for one in row
            ),
        )
    return table


def _complaints(verdicts: Sequence[Verdict]) -> list[RenderableType]:
    wrong = [one for one in verdicts if one.problems]
    return [f"{_named(one.cell)}: {'; '.join(one.problems[:4])}" for one in wrong[:40]]


def _named(cell: Cell) -> str:
    return " and ".join(f"{dependency} {kind}" for dependency, kind in cell)


# --- in processes of their own


def _all(cells: Sequence[Cell], world: World, *, deadline_s: float) -> list[Verdict]:
    verdicts: list[Verdict] = []
    pool = ProcessPoolExecutor(
        PROCESSES,
        mp_context=get_context("spawn"),
        initializer=_prepare,
        initargs=(world.local_aws.port, deadline_s),
    )
    label = "Faults" if len(cells[0]) == 1 else "Pairs of faults"
    with pool, progress(label) as advance:
        for done, future in enumerate(as_completed([pool.submit(_try, c) for c in cells]), 1):
            verdicts.append(future.result())
            wrong = sum(bool(one.problems) for one in verdicts)
            advance(done, len(cells), f"{wrong} wrong")
    return sorted(verdicts, key=lambda one: cells.index(one.cell))


_opened: contextlib.AbstractContextManager[Neighbourhood]
_around: Neighbourhood
_deadline_s: float
_loop: asyncio.AbstractEventLoop
_tables: Iterator[str]


def _prepare(dynamodb_port: int, deadline_s: float) -> None:
    """A neighbourhood for all cells that this process tries; it ends with the process."""
    global _opened, _around, _deadline_s, _loop, _tables
    logging.disable(logging.CRITICAL)
    _deadline_s = deadline_s
    _opened = neighbourhood(dynamodb_port=dynamodb_port, deadline_s=deadline_s)
    _around = _opened.__enter__()
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{_around.networks['DynamoDB'].port}"
    preload(_around.settings)  # as an environment that was initialised ahead of traffic has
    _loop = asyncio.new_event_loop()
    _loop.run_until_complete(fill_index(_around, TEXTS))
    _tables = (f"m{os.getpid()}-{number}-" for number in itertools.count(1))


class Clock:
    """The wall clock, and as much more as has passed."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


def _try(cell: Cell) -> Verdict:
    try:
        return _loop.run_until_complete(_verdict(cell))
    finally:
        _forget_applications()


def _forget_applications() -> None:
    """FastAPI remembers every route's function, and with it all that an environment consisted
    of; a thousand environments in one process would wait for garbage collections."""
    for remembered in vars(fastapi.dependencies.models).values():
        if hasattr(remembered, "cache_clear"):
            remembered.cache_clear()
    gc.collect()


async def _verdict(cell: Cell) -> Verdict:
    _around.flush()
    prefix = next(_tables)
    create_table(table=f"{prefix}cache", region=REGION)
    clock = Clock()
    service = _around.environment(prefix, clock)
    seen = _Seen(cell)
    await service.warm()
    try:
        limits = rate_limit(_around.settings, service.stores, clock=clock)
        app = application(service, rate_limit=limits)
        seen.judge(await ask(app, _question(101)), "full", set(), "at first")
        clock.ahead_s += 10  # what was deleted in a record's first seconds is not certain
        seen.judge(await ask(app, KNOWN), "full", set(), "before")
        for dependency, kind in cell:
            _around.break_(dependency, kind)
        seen.under_fault(await ask(app, KNOWN, refresh=True), known=True)
        for number in range(2):
            seen.under_fault(await ask(app, _question(number)), known=False)
        together = (ask(app, _question(number)) for number in range(2, 2 + AT_ONCE))
        for reply in await asyncio.gather(*together):
            seen.under_fault(reply, known=False)
        _around.heal()
        clock.ahead_s += RECOVERY_S
        seen.judge(await ask(app, _question(100)), "full", set(), "afterwards")
    finally:
        _around.heal()
        await service.aclose()
    return Verdict(cell, seen.problems, seen.modes, seen.asked, seen.slowest_s)


def _question(number: int) -> str:
    return f"Which city is the largest of South Korea, asked for the {number}th time?"


class _Seen:
    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.problems: list[str] = []
        self.modes: Counter[str] = Counter()
        self.asked = 0
        self.slowest_s = 0.0

    def under_fault(self, reply: Reply, *, known: bool) -> None:
        mode, reasons = expected(self._cell, known=known)
        self.judge(reply, mode, reasons, "known question" if known else "new question")
        self.modes[str(reply.body.get("mode"))] += 1
        self.slowest_s = max(self.slowest_s, reply.seconds)

    def judge(self, reply: Reply, mode: str, reasons: set[str], when: str) -> None:
        self.asked += 1
        if reply.status != 200:
            self.problems.append(f"{when}: status {reply.status}")
            return
        got: Any = reply.body
        if (got["mode"], set(got["degraded"])) != (mode, reasons):
            self.problems.append(
                f"{when}: {got['mode']} {got['degraded']}, expected {mode} {sorted(reasons)}"
            )
        if reply.headers.get("x-steadyrag-mode") != got["mode"]:
            self.problems.append(f"{when}: the header says {reply.headers.get('x-steadyrag-mode')}")
        if reply.seconds > _deadline_s:
            self.problems.append(f"{when}: {reply.seconds:.2f} s")
        if mode == "cached" and got["cache"]["age_s"] is None:
            self.problems.append(f"{when}: no age")
