"""An environment that wakes up without its connections.

A process with the search function's own handler answers a question and is frozen: ten minutes
pass on the wall clock, and every connection to the vendors and the stores dies in one of three
ways. The next invocation must not show any of it, whether its question is new or known (to its
memory, to the Valkey, or to the table alone), and what it leaves in the caches must be there
for the one after.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis
from rich.console import RenderableType
from rich.table import Table

from dying_network import DyingNetwork, network_before
from faults.figures import Figure
from faults.filling import create_index, fill, order
from faults.world import TESTS, World
from integration.vendored import TEXTS
from steadyrag.adapters.local.child_process import free_port
from steadyrag.adapters.local.services import start_valkey
from steadyrag.progress import progress
from steadyrag.settings import load

FREEZES = 20
"""Of each kind; every second one is followed by a question that is known."""
FROZEN_S = 600.0
LIMIT_S = 1.5

ENDS: Mapping[str, tuple[str, Callable[[DyingNetwork], None]]] = {
    "cut": ("reset while it slept", DyingNetwork.cut),
    "stranded": ("reset when used", DyingNetwork.strand),
    "lost": ("silent when used", DyingNetwork.lose),
}


@dataclass(frozen=True)
class Sleeper:
    """The environment's process, and the networks around it."""

    process: subprocess.Popen[str]
    networks: Mapping[str, DyingNetwork]
    valkey_port: int

    def ask(self, question: str) -> dict[str, Any]:
        return self._do("ask", question=question)

    def freeze(self, end: Callable[[DyingNetwork], None]) -> None:
        for network in self.networks.values():
            end(network)
        self._do("freeze", seconds=FROZEN_S)

    def met(self) -> Counter[str]:
        """Dead connections that something was sent on, so far."""
        return Counter({name: network.met for name, network in self.networks.items()})

    def _do(self, what: str, **order: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the environment broke; its error is above"
        return json.loads(line)


@dataclass
class Wakings:
    """What the invocations after one kind of freeze came to."""

    seconds: list[float] = field(default_factory=list)
    good: int = 0
    modes: Counter[str] = field(default_factory=Counter)
    known: int = 0
    known_hits: int = 0
    tiers: Counter[str] = field(default_factory=Counter)
    hits_after: int = 0
    met: Counter[str] = field(default_factory=Counter)

    def count(self, told: Mapping[str, Any], *, known: bool) -> None:
        body = told["body"]
        self.seconds.append(told["seconds"])
        self.modes[body.get("mode", str(told["status"]))] += 1
        self.good += (told["status"], body.get("mode"), body.get("degraded")) == (200, "full", [])
        self.known += known
        self.known_hits += known and _is_hit(told)
        self.tiers.update([body["cache"]["tier"]] if known and _is_hit(told) else [])

    @property
    def met_bar(self) -> bool:
        return (
            self.good == len(self.seconds) == self.hits_after == FREEZES
            and self.known == self.known_hits == FREEZES // 2
            and max(self.seconds) <= LIMIT_S
        )


def run(world: World) -> tuple[list[Figure], list[RenderableType]]:
    wakings = {kind: Wakings() for kind in ENDS}
    total = FREEZES * len(ENDS)
    with _sleeper(world) as sleeper, progress("Freezes") as advance:
        sleeper.ask(_question(0))
        for number in range(1, total + 1):
            kind = list(ENDS)[number % len(ENDS)]
            known = number % 2 == 0
            question = _known(number, sleeper) if known else _question(number)
            _wake(sleeper, wakings[kind], ENDS[kind][1], question, known=known)
            advance(number, total, kind)
    figures = [_figure(kind, woken) for kind, woken in wakings.items()]
    return figures, [_table(wakings)]


def _known(number: int, sleeper: Sleeper) -> str:
    """A question asked before. The process remembers one answer only, so an earlier one must
    come from the Valkey, or, when that is empty, from the table."""
    match (number - 1) // 6 % 3:
        case 0:
            return _question(number - 1)
        case 1:
            return _question(number - 3)
        case _:
            with Redis(port=sleeper.valkey_port) as valkey:
                valkey.flushall()
            return _question(number - 3)


def _wake(
    sleeper: Sleeper,
    wakings: Wakings,
    end: Callable[[DyingNetwork], None],
    question: str,
    *,
    known: bool,
) -> None:
    before = sleeper.met()
    sleeper.freeze(end)
    wakings.count(sleeper.ask(question), known=known)
    wakings.hits_after += _is_hit(sleeper.ask(question))
    wakings.met += sleeper.met() - before


def _question(number: int) -> str:
    return f"What is the capital of South Korea, question {number}?"


def _is_hit(told: Mapping[str, Any]) -> bool:
    return told["body"].get("cache", {}).get("status") == "hit"


@contextlib.contextmanager
def _sleeper(world: World) -> Iterator[Sleeper]:
    vendors = world.vendors()
    asyncio.run(_filled(vendors))
    # A slow search has the other one open a connection too, so that each has one to lose.
    slow = {"operation": "keyword_search", "latency_ms": 50}
    order(vendors["PINECONE_CONTROLLER_HOST"], "_faults", slow)
    with contextlib.ExitStack() as ending:
        valkey_port = free_port()
        networks = {
            name: ending.enter_context(network_before(target))
            for name, target in {
                "openai": _address(vendors["OPENAI_BASE_URL"]),
                "pinecone": _address(vendors["PINECONE_CONTROLLER_HOST"]),
                "valkey": f"127.0.0.1:{valkey_port}",
                "dynamodb": _address(world.local_aws.url),
            }.items()
        }
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(dir=world.directory)))
        announced = int(networks["valkey"].address.rpartition(":")[2])
        valkey = start_valkey(folder, port=valkey_port, cluster=True, announce_port=announced)
        ending.callback(valkey.stop)
        environment = _environment(world, vendors, networks)
        process = subprocess.Popen(
            [sys.executable, "-m", "faults.frozen_worker"],
            cwd=TESTS,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ending.callback(_end, process)
        assert process.stdout is not None
        assert process.stdout.readline(), "the environment did not start"
        yield Sleeper(process, networks, valkey_port)


async def _filled(vendors: Mapping[str, str]) -> None:
    settings = load(vendors)
    await create_index(settings)
    await fill(settings, TEXTS, "default")


def _environment(
    world: World, vendors: Mapping[str, str], networks: Mapping[str, DyingNetwork]
) -> dict[str, str]:
    """Every way out leads through a network of ours."""
    ways = {
        "OPENAI_BASE_URL": "openai",
        "PINECONE_CONTROLLER_HOST": "pinecone",
        "STEADYRAG_PINECONE_INDEX_HOST": "pinecone",
    }
    return {
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", "."),
        **vendors,
        **{name: _through(networks[to], vendors[name]) for name, to in ways.items()},
        "STEADYRAG_CACHE_URL": f"redis://{networks['valkey'].address}?cluster=true",
        "STEADYRAG_TABLE_PREFIX": world.new_table(),
        "AWS_ENDPOINT_URL_DYNAMODB": f"http://{networks['dynamodb'].address}",
        "STEADYRAG_RATE_LIMIT": "1000/minute",
        "STEADYRAG_MEMORY_ANSWERS": "1",
        "STEADYRAG_LOG_LEVEL": "ERROR",
    }


def _address(url: str) -> str:
    return url.partition("://")[2].partition("/")[0]


def _through(network: DyingNetwork, url: str) -> str:
    return f"http://{network.address}/{url.partition('://')[2].partition('/')[2]}"


def _end(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait(10)


def _figure(kind: str, woken: Wakings) -> Figure:
    slowest = max(woken.seconds)
    return Figure(
        name=f"woken, connections {kind}",
        bar=f"{FREEZES} full answers within {LIMIT_S:g} s, known ones from the cache",
        measured=(
            f"{woken.good} of {len(woken.seconds)} full, slowest {slowest * 1000:.0f} ms, "
            f"{woken.known_hits} of {woken.known} known ones hits, {woken.hits_after} hits after"
        ),
        met=woken.met_bar,
        values={
            "kind": kind,
            "freezes": len(woken.seconds),
            "full": woken.good,
            "modes": dict(woken.modes),
            "slowest_s": round(slowest, 4),
            "median_s": round(statistics.median(woken.seconds), 4),
            "known": woken.known,
            "known_hits": woken.known_hits,
            "known_from": dict(woken.tiers),
            "hits_after": woken.hits_after,
            "dead_connections_used": dict(woken.met),
        },
    )


def _table(wakings: Mapping[str, Wakings]) -> Table:
    title = f"Frozen for {FROZEN_S / 60:g} minutes, and every connection dead"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("connections")
    for column in ("freezes", "full", "median ms", "slowest ms", "dead ones used"):
        table.add_column(column, justify="right")
    table.add_column("known from")
    for kind, woken in wakings.items():
        table.add_row(
            f"{kind}: {ENDS[kind][0]}",
            str(len(woken.seconds)),
            str(woken.good),
            f"{statistics.median(woken.seconds) * 1000:.0f}",
            f"{max(woken.seconds) * 1000:.0f}",
            ", ".join(f"{n} {name}" for name, n in sorted(woken.met.items())) or "0",
            ", ".join(f"{n} {tier}" for tier, n in woken.tiers.most_common()),
        )
    return table
