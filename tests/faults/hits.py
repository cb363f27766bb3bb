"""What a cache hit costs.

`steadyrag serve` with the vendors' adapters over a Valkey cluster, asked the same questions
through kept connections: the processor time of the server's process for each hit, and how
long callers wait. And what a new Lambda environment has imported when it has answered from
Valkey alone: not the vendors' SDKs, which cost half of a cold start.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from faults.figures import Figure
from faults.filling import create_index, fill
from faults.world import World
from integration.test_lambda import event
from steadyrag.adapters.local.child_process import free_port
from steadyrag.progress import progress
from steadyrag.settings import PREFIX, load

CONCURRENT = 20
HITS = 2_000
ROUNDS = 5
QUESTIONS = 60
DOCUMENTS = 40
SENTENCES = 12
"""In a document, which is one chunk of about 1,000 characters."""

MOST_CPU_MS = 1.0
MOST_P99_MS = 50.0
SDKS = ("openai", "pinecone")

START_S = 30.0
IN_LAMBDA = 10
"""Questions to a new environment, which no other environment of Lambda's has been asked."""

ATTEMPTS = 3
"""For one to be on time with its first call of Valkey: else that is a miss."""

ROOT = Path(__file__).parents[2]
HIT_SERVER = Path(__file__).with_name("hit_server.py")
UNLIMITED = {"STEADYRAG_RATE_LIMIT": "off", "STEADYRAG_KEY_RATE_LIMIT": "off"}
FROM_VALKEY = {"STEADYRAG_MEMORY_ANSWERS": "0"}
PATIENT = (str(HIT_SERVER), "serve")
AS_IT_IS = ("-c", "from steadyrag.cli import main; main()", "serve")


@dataclass(frozen=True, slots=True)
class Server:
    """The tier that answers, the settings that make it do so, and what Python is to run."""

    tier: str
    settings: Mapping[str, str]
    arguments: Sequence[str] = PATIENT


SERVERS: Mapping[str, Server] = {
    "from Valkey": Server("valkey", {**UNLIMITED, **FROM_VALKEY}),
    "from Valkey, limits on": Server(
        "valkey", {"STEADYRAG_RATE_LIMIT": "1000000/minute", **FROM_VALKEY}
    ),
    "from Valkey, 0.1 s for each call": Server(
        "valkey", {**UNLIMITED, **FROM_VALKEY}, arguments=AS_IT_IS
    ),
    "from memory": Server("memory", UNLIMITED),
}
"""All but one give Valkey its time: on a busy machine a late answer is a miss, which costs ten
times what is measured here."""


@dataclass(frozen=True, slots=True)
class Round:
    """`HITS` questions. `hits` is how many were 200 and a hit of the tier meant."""

    cpu_ms: float
    waits_ms: Sequence[float]
    seconds: float
    hits: int
    body_bytes: float

    def wait_ms(self, share: float) -> float:
        return sorted(self.waits_ms)[min(len(self.waits_ms) - 1, int(len(self.waits_ms) * share))]


def run(world: World) -> tuple[list[Figure], list[RenderableType]]:
    world.forget()
    settings = {**world.vendors(), "STEADYRAG_CACHE_URL": world.valkey.url}
    asyncio.run(_filled(settings))
    questions = [_sentence(f"question {i}", 8) + "?" for i in range(QUESTIONS)]
    rounds: dict[str, list[Round]] = {}
    with progress("hits: rounds of the same questions") as advance:
        for name, server in SERVERS.items():
            rounds[name] = []
            with serving(server, settings, world.directory / "serve.log") as (port, pid):
                asyncio.run(_warm(port, questions))
                for number in range(ROUNDS):
                    one = asyncio.run(_round(port, pid, questions, server.tier))
                    rounds[name].append(one)
                    done = list(SERVERS).index(name) * ROUNDS + number + 1
                    advance(done, len(SERVERS) * ROUNDS, name)
                    if one.hits < HITS:  # more of the same would take a minute
                        break
    figures = _figures(rounds)
    new = {**settings, **UNLIMITED, **FROM_VALKEY}
    return [*figures, *_in_lambda(new, questions)], [_table(rounds)]


async def _filled(settings: Mapping[str, str]) -> None:
    loaded = load(settings)
    await create_index(loaded)
    documents = {
        f"document-{i}": " ".join(_sentence(f"{i} {j}", 14) + "." for j in range(SENTENCES))
        for i in range(DOCUMENTS)
    }
    await fill(loaded, documents, "default")


_TEXT = """
Annual leave is twenty days and grows by one day for every two years of service. Travel is
refunded within thirty days after the receipts have been handed in to the manager. 연차 휴가는
이십 일이며 근속 이 년마다 하루씩 늘어난다. 출장비는 영수증을 제출한 뒤 삼십 일 안에 지급된다.
"""


def _sentence(seed: str, words: int) -> str:
    chance = random.Random(seed)  # noqa: S311 - the same words every time
    return " ".join(chance.choices(_TEXT.split(), k=words)).capitalize()


@contextlib.contextmanager
def serving(server: Server, settings: Mapping[str, str], log: Path) -> Iterator[tuple[int, int]]:
    """`steadyrag serve` with these settings and the server's: its port and its process id."""
    port = free_port()
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *server.arguments],
            env=_environment({**settings, **server.settings, "STEADYRAG_PORT": str(port)}),
            stdout=output,
            stderr=output,
        )
    try:
        _answering(process, port, log)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(10)


def _answering(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Returns when the server takes requests."""
    before = time.monotonic() + START_S
    while time.monotonic() < before and process.poll() is None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            asyncio.run(_asked_once(port, "Ready?"))
            return
        time.sleep(0.05)
    raise RuntimeError(f"steadyrag serve did not start:\n{log.read_text()[-2000:]}")


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's own without its settings, and these."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**mine, "PYTHONPATH": str(ROOT / "shared"), **settings}


async def _warm(port: int, questions: Sequence[str]) -> None:
    """Every question is held when this returns, and every connection has been made."""
    for question in questions:
        await _asked_once(port, question)
    asked = [_request(question) for question in questions]
    await _all(port, iter(asked * 5), CONCURRENT)


async def _round(port: int, pid: int, questions: Sequence[str], tier: str) -> Round:
    asked = [_request(question) for question in questions]
    cpu_s, started = _cpu_s(pid), time.perf_counter()
    replies = await _all(port, itertools.islice(itertools.cycle(asked), HITS), CONCURRENT)
    seconds, cpu_s = time.perf_counter() - started, _cpu_s(pid) - cpu_s
    return Round(
        cpu_ms=cpu_s * 1000 / HITS,
        waits_ms=[reply.wait_s * 1000 for reply in replies],
        seconds=seconds,
        hits=sum(reply.is_hit(tier) for reply in replies),
        body_bytes=sum(len(reply.body) for reply in replies) / HITS,
    )


def _cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: bytes
    wait_s: float

    def is_hit(self, tier: str) -> bool:
        cache = json.loads(self.body).get("cache", {})
        return self.status == 200 and (cache.get("status"), cache.get("tier")) == ("hit", tier)


_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


def _request(question: str) -> bytes:
    body = json.dumps({"query": question}).encode()
    head = (
        "POST /search HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _all(port: int, requests: Iterator[bytes], connections: int) -> list[_Reply]:
    """All requests, each on the next connection that is free. Written by hand, so that asking
    takes little of the processor that answering needs."""
    replies: list[_Reply] = []

    async def one_after_the_other() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in requests:
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            assert length is not None, head
            body = await reader.readexactly(int(length[1]))
            wait_s = time.perf_counter() - started
            replies.append(_Reply(int(head.split(b" ", 2)[1]), body, wait_s))
        writer.close()
        await writer.wait_closed()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_after_the_other())
    return replies


async def _asked_once(port: int, question: str) -> None:
    try:
        await _all(port, iter([_request(question)]), 1)
    except* (OSError, asyncio.IncompleteReadError) as group:
        raise group.exceptions[0] from None


def _figures(rounds: Mapping[str, Sequence[Round]]) -> list[Figure]:
    valkey = rounds["from Valkey"]
    cpu_ms = median(one.cpu_ms for one in valkey)
    p99s_ms = [one.wait_ms(0.99) for one in valkey]
    hits, asked = sum(one.hits for one in valkey), HITS * len(valkey)
    figures = [
        Figure(
            name="processor time of a hit from Valkey",
            bar=f"at most {MOST_CPU_MS:g} ms of the server's process",
            measured=f"{cpu_ms:.2f} ms (median of {ROUNDS} rounds of {HITS:,}; "
            f"{valkey[0].body_bytes / 1024:.1f} kB a reply)",
            met=cpu_ms <= MOST_CPU_MS,
            values={
                "cpu_ms": cpu_ms,
                "cpu_ms_rounds": [one.cpu_ms for one in valkey],
                "body_bytes": valkey[0].body_bytes,
            },
        ),
        Figure(
            name=f"wait for a hit from Valkey, {CONCURRENT} at once",
            bar=f"p99 at most {MOST_P99_MS:g} ms",
            measured=f"p99 {median(p99s_ms):.1f} ms (median of {ROUNDS} rounds; "
            f"best {min(p99s_ms):.1f})",
            met=median(p99s_ms) <= MOST_P99_MS,
            values={
                "p99_ms": median(p99s_ms),
                "p99_ms_rounds": p99s_ms,
                "p50_ms": median(one.wait_ms(0.5) for one in valkey),
            },
        ),
        Figure(
            name="replies from Valkey",
            bar="each a 200 and a hit from Valkey",
            measured=f"{hits:,} of {asked:,}",
            met=hits == asked,
            values={"asked": asked, "hits": hits},
        ),
    ]
    for name in list(SERVERS)[1:]:
        cpu_ms = median(one.cpu_ms for one in rounds[name])
        hits, asked = sum(one.hits for one in rounds[name]), HITS * len(rounds[name])
        figures.append(
            Figure(
                name=f"processor time of a hit {name}",
                bar="",
                measured=f"{cpu_ms:.2f} ms; {hits:,} hits of {asked:,}",
                met=None,
                values={
                    "cpu_ms": cpu_ms,
                    "p99_ms": median(one.wait_ms(0.99) for one in rounds[name]),
                    "asked": asked,
                    "hits": hits,
                },
            )
        )
    return figures


def _in_lambda(settings: Mapping[str, str], questions: Sequence[str]) -> list[Figure]:
    """A new environment answers what another process has left in Valkey; then, to show that
    an import would be seen, a question that nobody has asked."""
    told: dict[str, Any] = {}
    hits = 0
    for some in itertools.islice(itertools.batched(questions, IN_LAMBDA, strict=False), ATTEMPTS):
        told = _environment_of_lambda(settings, some)
        hits = told["held"]["caches"].count([200, "hit", "valkey"])
        if hits == IN_LAMBDA:
            break
    held, new = (
        [name for name in SDKS if name in told[when]["packages"]] for when in ("held", "new")
    )
    return [
        Figure(
            name="a new Lambda environment with hits from Valkey alone",
            bar=f"imports neither {' nor '.join(SDKS)}",
            measured=f"{' and '.join(held) or 'neither'} after {hits} hits, "
            f"{' and '.join(new) or 'neither'} after a new question",
            met=hits == IN_LAMBDA and not held and new == list(SDKS),
            values={"hits": hits, "imported": held, "imported_by_a_miss": new},
        ),
        Figure(
            name="processor time of a hit from Valkey in Lambda's handler",
            bar="",
            measured=f"{told['warm_ms']:.2f} ms; imports and the first {hits}: "
            f"{told['cpu_ms']:.0f} ms",
            met=None,
            values={"cpu_ms": told["warm_ms"], "cold_cpu_ms": told["cpu_ms"]},
        ),
    ]


def _environment_of_lambda(settings: Mapping[str, str], questions: Sequence[str]) -> Any:
    events = [event("POST", "/search", {"query": question}) for question in questions]
    new = event("POST", "/search", {"query": f"What did nobody ask until {time.time()}?"})
    answered = subprocess.run(
        [sys.executable, str(HIT_SERVER), "lambda"],
        input=json.dumps({"held": events, "new": [new]}),
        env=_environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(answered.stdout.splitlines()[-1])


def _table(rounds: Mapping[str, Sequence[Round]]) -> RenderableType:
    table = Table(
        title=f"What a cache hit costs: {CONCURRENT} kept connections, {QUESTIONS} questions",
        caption=f"Medians of {ROUNDS} rounds of {HITS:,}. CPU is user and system time of the "
        "process of `steadyrag serve`; the one that asks, and Valkey, share the processors.",
        caption_justify="left",
    )
    table.add_column("answered")
    for column in ("hits", "CPU ms", "CPU ms, rounds", "p50 ms", "p99 ms", "hits/s"):
        table.add_column(column, justify="right")
    for name, of in rounds.items():
        cpus = [one.cpu_ms for one in of]
        table.add_row(
            name,
            f"{sum(one.hits for one in of):,} of {HITS * len(of):,}",
            f"{median(cpus):.2f}",
            f"{min(cpus):.2f} to {max(cpus):.2f}",
            f"{median(one.wait_ms(0.5) for one in of):.1f}",
            f"{median(one.wait_ms(0.99) for one in of):.1f}",
            f"{median(HITS / one.seconds for one in of):,.0f}",
        )
    return table
