"""Processes killed while they write: to the caches, and into the embedded default's index.

A process that writes says what it begins and what it has been told is done. It is killed with
SIGKILL at a moment drawn by lot, and a fresh process looks at what is left: whatever was begun
is there whole or not at all, whatever was done is there. The index is then ingested into
again, sometimes after its documents have changed once more, and must end as if nothing had
happened.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from faults.crash_worker import QUESTIONS, digests_of
from faults.figures import Figure
from faults.world import TESTS, World
from servers import REGION
from steadyrag.progress import Advance, progress

KILLS = 100
"""Of each sort."""
IN_THE_MIDDLE = KILLS // 2
"""Kills that have to meet a write that is under way, for the figure to say anything."""
KILLS_A_FOLDER = 10
_A_KEEP_S, _AN_UPSERT_S = 0.01, 0.03
"""About what the longest writes take; a kill comes up to so long after they begin."""

type When = Callable[[Sequence[Mapping[str, Any]]], bool]


def after_lines(count: int) -> When:
    return lambda said: len(said) >= count


def in_a(op: str) -> When:
    """When a write of this kind begins."""
    return lambda said: said[-1].get("begun", {}).get("op") == op


class Broken(Exception):
    """A process could not do what it was told."""


class Nursery:
    """The process that forks those that are killed, and those that look."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._line()

    def run(self, do: str, **order: Any) -> list[dict[str, Any]]:
        """What a process says that nobody kills; raises `Broken`."""
        said, code = self._follow(do, order, lambda said: False)
        if code != 0:
            raise Broken(f"{do} broke; its error is above")
        return said

    def kill(
        self, do: str, *, when: When, pause_s: float, **order: Any
    ) -> tuple[list[dict[str, Any]], bool]:
        """What a process says until it is killed, `pause_s` after what it said is enough for
        `when`; and whether it lived that long."""
        said, code = self._follow(do, order, when, pause_s)
        assert code in (0, -signal.SIGKILL), f"{do} broke; its error is above"
        return said, code != 0

    def _follow(
        self, do: str, order: Mapping[str, Any], when: When, pause_s: float = 0.0
    ) -> tuple[list[dict[str, Any]], int]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()
        said: list[dict[str, Any]] = []
        pid, kill, killed = 0, False, False
        while True:
            line = self._line()
            if "ended" in line:
                return said, line["ended"]
            pid = line.get("pid", pid)
            if "pid" not in line:
                said.append(line)
                kill = kill or when(said)
            if kill and pid and not killed:
                time.sleep(pause_s)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed = True

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that forks the others broke; its error is above"
        return json.loads(line)


@dataclass
class Findings:
    """`lost` was acknowledged and is not there, `corrupt` is there and not what was written,
    by what it is."""

    kills: int = 0
    in_the_middle: int = 0
    acknowledged: int = 0
    looked_at: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    corrupt: Counter[str] = field(default_factory=Counter)
    killed_in: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)

    @property
    def met(self) -> bool:
        return (
            self.kills == KILLS
            and self.in_the_middle >= IN_THE_MIDDLE
            and self.looked_at > 0
            and not self.lost.total()
            and not self.corrupt.total()
        )

    def count_kill(self, writes: Sequence[Write]) -> None:
        under_way = [write for write in writes if not write.done]
        self.kills += 1
        self.in_the_middle += bool(under_way)
        self.acknowledged += len(writes) - len(under_way)
        self.done.update(write.op["op"] for write in writes if write.done)
        self.killed_in.update({write.op["op"] for write in under_way} or {"between writes"})


@dataclass
class Write:
    op: Mapping[str, Any]
    done: bool = False


def writes_of(said: Iterable[Mapping[str, Any]]) -> list[Write]:
    """In the order they were begun."""
    writes: list[Write] = []
    for line in said:
        if "begun" in line:
            writes.append(Write(line["begun"]))
        elif "done" in line:
            next(w for w in writes if w.op == line["done"] and not w.done).done = True
    return writes


def run(world: World) -> tuple[list[Figure], list[RenderableType]]:
    chance = random.Random(20)  # noqa: S311 - a test's, the same every time
    with (
        tempfile.TemporaryDirectory(dir=world.directory) as directory,
        _nursery() as nursery,
        progress("Kills") as advance,
    ):
        caches = _kill_caches(world, nursery, chance, advance)
        index = _kill_index(Path(directory), nursery, chance, advance)
    found = {"cache writes": caches, "index writes": index}
    return [_figure(what, findings) for what, findings in found.items()], [_table(found)]


@contextlib.contextmanager
def _nursery() -> Iterator[Nursery]:
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.crash_worker"],
        cwd=TESTS,
        # A fork takes no threads along.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Nursery(process)
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.wait(10)


# --- the caches


def _kill_caches(
    world: World, nursery: Nursery, chance: random.Random, advance: Advance
) -> Findings:
    where = {
        "valkey": {"url": world.valkey.url, "prefix": f"crashes{os.getpid()}:"},
        "dynamodb": {
            "table": f"{world.new_table()}cache",
            "endpoint_url": world.local_aws.url,
            "region": REGION,
        },
    }
    findings = Findings()
    written: dict[str, list[Write]] = {}
    for number in range(KILLS):
        namespace = f"killed{number}"
        said, killed = nursery.kill(
            "write_caches",
            when=after_lines(chance.randint(1, 24)),
            pause_s=chance.uniform(0, _A_KEEP_S),
            where=where,
            namespace=namespace,
        )
        assert killed, "a process that writes for ever ended"
        written[namespace] = writes_of(said)
        findings.count_kill(written[namespace])
        advance(number + 1, 2 * KILLS, "caches")
    stamps: dict[str, set[str | None]] = {namespace: set() for namespace in written}
    for line in nursery.run("read_caches", where=where, namespaces=list(written)):
        namespace = line["namespace"]
        if "answers" in line:
            _check_answers(line, written[namespace], findings)
        else:
            _check_changes(line, written[namespace], findings)
            stamps[namespace].add(line["stamp"])
    for namespace, seen in stamps.items():
        changes = [w for w in written[namespace] if w.op["op"] in ("delete", "changed")]
        if all(change.done for change in changes):
            findings.lost["version"] += len(seen) != 1
    return findings


def _check_answers(line: Mapping[str, Any], writes: Sequence[Write], findings: Findings) -> None:
    for question in range(QUESTIONS):
        found = line["answers"][question]
        about = [w for w in writes if w.op["op"] == "keep" and w.op["question"] == question]
        newest = max((w.op["version"] for w in about), default=0)
        kept = max((w.op["version"] for w in about if w.done), default=0)
        findings.looked_at += 1
        findings.lost["answer"] += found["version"] < kept
        findings.lost["embedding"] += line["tier"] == "valkey" and kept and not found["vector"]
        findings.corrupt["answer"] += not found["whole"] or found["version"] > newest


def _check_changes(line: Mapping[str, Any], writes: Sequence[Write], findings: Findings) -> None:
    deletes = [write for write in writes if write.op["op"] == "delete"]
    changes = [*deletes, *(write for write in writes if write.op["op"] == "changed")]
    digests = digests_of(line["namespace"], len(deletes))
    buried = {d for d, write in zip(digests, deletes, strict=True) if write.done}
    findings.looked_at += 1 + len(digests)
    findings.lost["tombstone"] += len(buried - set(line["tombs"]))
    findings.lost["version"] += line["counted"] < sum(write.done for write in changes)
    findings.corrupt["tombstone"] += len(set(line["tombs"]) - set(digests)) + line["unreadable"]
    findings.corrupt["version"] += line["counted"] > len(changes)


# --- the index


@dataclass
class Library:
    """A folder of documents and the index of it, with what each must hold."""

    folder: Path
    directory: Path
    chance: random.Random
    chunks: set[str] = field(default_factory=set)
    records: dict[str, str] = field(default_factory=dict)
    looks: dict[str, str] = field(default_factory=dict)
    """Of every chunk that ever was to be: what it looks like."""
    lines: int = 40
    """About how much a run says."""

    def emptied(self) -> Library:
        for path in (self.folder, self.directory):
            shutil.rmtree(path, ignore_errors=True)
        return Library(self.folder, self.directory, self.chance, lines=self.lines)

    def change(self) -> list[str]:
        """Other documents; ids of those to forget."""
        self.folder.mkdir(parents=True, exist_ok=True)
        gone: list[str] = []
        for name in self.chance.sample(range(12), k=5):
            path = self.folder / f"d{name}.md"
            if path.exists() and self.chance.random() < 0.4:
                path.unlink()
                gone.append(f"{self.folder.name}/{path.name}")
                continue
            parts = [self._section() for _ in range(self.chance.randint(1, 4))]
            path.write_text(f"# Manual {name}\n\n" + "".join(parts), encoding="utf-8")
        return gone[:2]

    def _section(self) -> str:
        words = [f"word{self.chance.randrange(500)}" for _ in range(40)]
        sentences = [" ".join(words[at : at + 10]) for at in range(0, 40, 10)]
        return f"## Part {self.chance.randrange(30)}\n\n{'. '.join(sentences)}.\n\n"


def _kill_index(
    directory: Path, nursery: Nursery, chance: random.Random, advance: Advance
) -> Findings:
    findings = Findings()
    library, worn_out = Library(directory / "docs", directory / "data", chance), True
    while findings.kills < KILLS:
        if worn_out or findings.kills % KILLS_A_FOLDER == 0:
            library, worn_out = library.emptied(), False
        try:
            _kill_and_heal(library, nursery, findings)
        except Broken:
            findings.corrupt["index that can't be used"] += 1
            worn_out = True
        advance(KILLS + findings.kills, 2 * KILLS, "index")
    return findings


def _kill_and_heal(library: Library, nursery: Nursery, findings: Findings) -> None:
    chance = library.chance
    gone = library.change()
    anywhere = after_lines(chance.randint(1, max(2, library.lines)))
    order = {"directory": str(library.directory), "folder": str(library.folder)}
    said, killed = nursery.kill(
        "write_index",
        when=chance.choice([in_a("upsert"), in_a("delete"), anywhere]),
        pause_s=chance.uniform(0, _AN_UPSERT_S),
        gone=gone,
        **order,
    )
    if killed:
        writes = writes_of(said)
        findings.count_kill(writes)
        found = _contents(nursery.run("read_index", again=False, **order), library)
        _check_index(library, writes, found, findings)
        if chance.random() < 1 / 3:
            library.change()
    healed = nursery.run("write_index", gone=[], **order)
    found = _contents(nursery.run("read_index", again=True, **order), library)
    _check_healed(library, found, findings)
    findings.corrupt["catalogue"] += not (healed[-1]["complete"] and found.settled)
    library.lines = round(0.8 * library.lines + 0.2 * max(len(said), len(healed)))


@dataclass
class Contents:
    """What is in an index, by chunk and by document, and the chunks that should be."""

    chunks: Mapping[str, str]
    records: Mapping[str, str]
    expected: set[str]
    sound: bool
    settled: bool | None


def _contents(said: Sequence[Mapping[str, Any]], library: Library) -> Contents:
    expected = {line["expected"]: line["look"] for line in said if "expected" in line}
    library.looks |= expected
    return Contents(
        {line["chunk"]: line["look"] for line in said if "chunk" in line},
        {line["document"]: line["record"] for line in said if "record" in line},
        set(expected),
        said[-1]["sound"],
        said[-1]["settled"],
    )


def _check_index(
    library: Library, writes: Sequence[Write], found: Contents, findings: Findings
) -> None:
    """The moment after a kill: all that was done, and of what was begun all or nothing."""
    may_have, must_have = set(library.chunks), set(library.chunks)
    records = {name: {record} for name, record in library.records.items()}
    halves: list[set[str]] = []
    for write in writes:
        match write.op:
            case {"op": "upsert", "chunks": chunks}:
                halves += [] if write.done else [set(chunks) - must_have]
                may_have |= set(chunks)
                must_have |= set(chunks) if write.done else set()
            case {"op": "delete", "chunks": chunks}:
                halves += [] if write.done else [must_have & set(chunks)]
                must_have -= set(chunks)
                may_have -= set(chunks) if write.done else set()
            case {"document": document, "record": record}:
                before = set() if write.done else records.get(document, {None})
                records[document] = {record, *before}
    held = set(found.chunks)
    findings.looked_at += len(held) + len(records)
    findings.lost["chunk"] += len(must_have - held)
    findings.lost["delete"] += len((held & library.looks.keys()) - may_have)
    findings.corrupt["index"] += not found.sound
    findings.corrupt["half a write"] += sum(0 < len(half & held) < len(half) for half in halves)
    _check_looks(library, found, findings)
    for name in records.keys() | found.records.keys():
        findings.lost["record"] += found.records.get(name) not in records.get(name, {None})


def _check_healed(library: Library, found: Contents, findings: Findings) -> None:
    """After a run that nobody killed: what the documents say, no more and no less."""
    held, expected = set(found.chunks), found.expected
    findings.looked_at += len(held)
    findings.lost["chunk"] += len(expected - held)
    findings.lost["delete"] += len(held - expected)
    findings.corrupt["index"] += not found.sound
    _check_looks(library, found, findings)
    library.chunks, library.records = held, dict(found.records)


def _check_looks(library: Library, found: Contents, findings: Findings) -> None:
    findings.corrupt["chunk"] += sum(
        library.looks.get(chunk) != look for chunk, look in found.chunks.items()
    )


# --- what is said


def _figure(what: str, findings: Findings) -> Figure:
    lost, corrupt = findings.lost.total(), findings.corrupt.total()
    return Figure(
        name=f"{KILLS} kills during {what}",
        bar=f"0 corrupt, 0 lost of what was acknowledged; {IN_THE_MIDDLE} kills meet a write",
        measured=(
            f"{findings.kills} kills, {findings.in_the_middle} of them in the middle of a write; "
            f"{corrupt} corrupt, {lost} lost of {findings.acknowledged:,} acknowledged"
        ),
        met=findings.met,
        values={
            "kills": findings.kills,
            "in_the_middle": findings.in_the_middle,
            "acknowledged": findings.acknowledged,
            "looked_at": findings.looked_at,
            "lost": {name: count for name, count in findings.lost.items() if count},
            "corrupt": {name: count for name, count in findings.corrupt.items() if count},
            "killed_in": dict(findings.killed_in),
            "done": dict(findings.done),
        },
    )


def _table(found: Mapping[str, Findings]) -> Table:
    table = Table(title="Killed", title_justify="left", box=None, pad_edge=False)
    table.add_column("during")
    for column in ("looked at", "lost", "corrupt"):
        table.add_column(column, justify="right")
    table.add_column("the kill met")
    for what, findings in found.items():
        table.add_row(
            what,
            f"{findings.looked_at:,}",
            _listed(+findings.lost) or "0",
            _listed(+findings.corrupt) or "0",
            _listed(findings.killed_in),
        )
    return table


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())
