"""What logs, metrics and traces cost a search whose answer is held in memory.

The whole Lambda handler is called with all of them, with each alone and with none, in turns.
Beside it stands what Powertools' Logger, Metrics and Tracer cost by themselves as their
documentation uses them: a log line, six metrics, six subsegments.

    python -m benches.telemetry [--out file.json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import SimpleNamespace

from cache_rig import Fleet
from fakes import FakeEmbedder, FakeGenerator, FakeReranker
from fakes.index import InMemoryIndex
from integration.test_lambda import CONTEXT, event
from steadyrag.api import create_app
from steadyrag.api.lambda_handler import lambda_handler
from steadyrag.api.search import search_router
from steadyrag.api.search_record import Recording
from steadyrag.domain.models import Chunk, EmbeddedChunk
from steadyrag.search import Service
from steadyrag.settings import of_lambda
from steadyrag.telemetry import log, metrics, spans

ROUNDS = 15
CALLS = 400
MOST_US = 150.0
"""The bar, in microseconds of processor time a hit."""

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
QUESTION = event("POST", "/search", {"query": "What is the capital of Korea?"})
POWERTOOLS_CONTEXT = SimpleNamespace(**vars(CONTEXT), memory_limit_in_mb=1024)
ANSWERED = Recording.answered
PARTS = {
    "none of it": (),
    "metrics": ("metrics",),
    "the log line": ("log",),
    "the trace": ("trace",),
    "all of it": ("metrics", "log", "trace"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write the figures as JSON, too")
    out = parser.parse_args().out
    with _daemon() as drain, _silence():
        figures = measure(drain)
    _show(figures)
    if out:
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    if figures["telemetry_us"] > MOST_US:
        sys.exit(f"telemetry costs {figures['telemetry_us']:.0f} us a hit, over {MOST_US:.0f}")


def measure(drain: Callable[[], None]) -> dict[str, float]:
    """Medians over rounds, each of which measures everything once."""
    handler = _handler()
    for _ in range(3):
        answer = handler(QUESTION, CONTEXT)
    assert json.loads(answer["body"])["cache"]["status"] == "hit", answer
    plain = _plain_powertools()
    gc.freeze()  # as `initialise` does
    work: Mapping[str, tuple[tuple[str, ...], Callable[[], object]]] = {
        **{name: (on, lambda: handler(QUESTION, CONTEXT)) for name, on in PARTS.items()},
        "plain": ((), plain),
    }
    took: dict[str, list[float]] = {name: [] for name in work}
    for number in range(ROUNDS + 1):
        for name, (on, call) in work.items():
            _switch(on)
            spent = _cpu_us(call)
            if number:  # the first round warms up
                took[name].append(spent)
            drain()
        print(f"\rround {number} of {ROUNDS}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    figures = {name: round(median(values), 1) for name, values in took.items()}
    pairs = zip(took["all of it"], took["none of it"], strict=True)
    figures["telemetry_us"] = round(median(a - b for a, b in pairs), 1)
    figures["sdk_import_ms"] = round(median(_sdk_import_ms() for _ in range(5)), 1)
    return figures


def _sdk_import_ms() -> float:
    """Processor time of importing AWS's SDK for X-Ray after all that a search imports."""
    code = (
        "import steadyrag.api.search, steadyrag.telemetry.xray, time; began = time.process_time();"
        "import aws_xray_sdk.core; print((time.process_time() - began) * 1000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _nothing(*_: object) -> None:
    pass


def _cpu_us(call: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - started) / CALLS * 1e6


def _handler() -> Callable[[object, object], Mapping[str, str]]:
    fleet = Fleet(clock=time.time, names=("valkey",))
    index = InMemoryIndex()
    chunk = Chunk("seoul-1", "seoul", "Seoul", "", "Seoul is the capital of Korea.", 8)
    embedder = FakeEmbedder()
    service = Service(
        embedder,
        index,
        FakeReranker(),
        FakeGenerator(),
        FakeGenerator(),
        cache=fleet.environment(embedder=embedder.name, dimension=embedder.dimension),
    )
    handler = lambda_handler(create_app([search_router(service)]))

    async def fill() -> None:
        made = await embedder.embed_passages([chunk.searchable])
        await index.upsert("default", [EmbeddedChunk(chunk, made.vectors[0])])

    asyncio.get_event_loop().run_until_complete(fill())
    return handler


def _switch(on: tuple[str, ...]) -> None:
    """What is not on costs nothing: with none of it, not even the record is put together."""
    Recording.answered = ANSWERED if on else _nothing  # type: ignore[method-assign]
    metrics.configure("emf" if "metrics" in on else "off", service="bench")
    log.configure("INFO" if "log" in on else "ERROR", service="bench")
    if "log" not in on:
        log._handler = None  # nor the record
    spans.configure("xray" if "trace" in on else "off", environment=of_lambda)


def _plain_powertools() -> Callable[[], object]:
    """A handler under the decorators of Powertools' documentation that does nothing else."""
    from aws_lambda_powertools import Logger, Metrics, Tracer
    from aws_xray_sdk.core.lambda_launcher import LambdaContext

    logger = Logger(service="bench", stream=sys.stderr)
    counted = Metrics(namespace="Bench", service="bench")
    tracer = Tracer(service="bench", auto_patch=False, disabled=False)
    tracer.provider.configure(context=LambdaContext(), context_missing="IGNORE_ERROR")

    @tracer.capture_method(capture_response=False)
    def stage() -> None:
        pass

    @logger.inject_lambda_context
    @tracer.capture_lambda_handler(capture_response=False)
    @counted.log_metrics
    def hit(event: object, context: object) -> None:
        logger.info("search", search_id="x", mode="full", cache="hit", total_ms=1.5)
        for number in range(6):
            counted.add_metric(f"Metric{number}", "Count", 1)
            stage()

    return lambda: hit(QUESTION, POWERTOOLS_CONTEXT)


@contextmanager
def _daemon() -> Iterator[Callable[[], None]]:
    """Where the X-Ray daemon would listen; what it yields throws away what has come."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        os.environ["AWS_XRAY_DAEMON_ADDRESS"] = f"127.0.0.1:{listener.getsockname()[1]}"
        os.environ["_X_AMZN_TRACE_ID"] = TRACE

        def drain() -> None:
            try:
                while listener.recv(65_536):
                    pass
            except BlockingIOError:
                return

        yield drain


@contextmanager
def _silence() -> Iterator[None]:
    """What is printed is written, and read by nobody."""
    before = sys.stdout, logging.getLogger("steadyrag").handlers
    with open(os.devnull, "w", encoding="utf-8") as nobody:
        sys.stdout = nobody
        real, sys.stderr = sys.stderr, _Both(nobody, sys.stderr)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before[0], real


class _Both:
    """Log lines to nobody, progress to the terminal."""

    def __init__(self, nobody: object, terminal: object) -> None:
        self._nobody, self._terminal = nobody, terminal

    def write(self, text: str) -> int:
        to = self._terminal if text.startswith("\r") or text == "\n" else self._nobody
        return to.write(text)

    def flush(self) -> None:
        self._terminal.flush()


def _show(figures: Mapping[str, float]) -> None:
    print(
        f"{platform.machine()}, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
    print(f"median of {ROUNDS} rounds of {CALLS} calls, microseconds of processor time\n")
    print("a search whose answer is held, with")
    for name in PARTS:
        print(f"  {name:<14} {figures[name]:7.1f}")
    print(f"\ntelemetry: {figures['telemetry_us']:.1f} (at most {MOST_US:.0f})")
    ratio = figures["plain"] / figures["telemetry_us"]
    print(f"Powertools, plainly used: {figures['plain']:.1f}, {ratio:.1f} times that")
    print(f"importing AWS's SDK for X-Ray, which is not used: {figures['sdk_import_ms']:.0f} ms")


if __name__ == "__main__":
    main()
