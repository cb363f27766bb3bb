"""Several processes that each stand for one environment, let go at the same moment.

A worker is a module: run with `python -m`, it reads one JSON object on its command line (what
it is to know) and then obeys orders. `obey` is its side of the conversation, `Fleet` the other.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
STORE_WORKER = "integration.fleet_worker"


class Fleet:
    """`size` processes that each run `worker`, with `variables` in their environment."""

    def __init__(
        self,
        size: int,
        told: Mapping[str, Any],
        *,
        worker: str = STORE_WORKER,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "shared"), str(ROOT / "tests")]),
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            **(variables or {}),
        }
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", worker, json.dumps(told)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for _ in range(size)
        ]

    def connected(self) -> None:
        """Returns when every process is ready for orders."""
        self._answers()

    def all(self, do: str, **order: Any) -> list[Any]:
        """What each process says once all have been told to start."""
        for process in self._processes:
            process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        for process in self._processes:
            process.stdin.flush()
        return self._answers()

    def total(self, do: str, **order: Any) -> dict[str, int]:
        answers = self.all(do, **order)
        return {name: sum(answer[name] for answer in answers) for name in answers[0]}

    def _answers(self) -> list[Any]:
        lines = [process.stdout.readline() for process in self._processes]
        assert all(lines), "a process of the fleet broke; its error is above"
        return [json.loads(line) for line in lines]

    def stop(self) -> None:
        for process in self._processes:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        for process in self._processes:
            process.wait(10)
            process.stdout.close()


@contextlib.contextmanager
def fleet(
    size: int,
    told: Mapping[str, Any],
    *,
    worker: str = STORE_WORKER,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Fleet]:
    """Running and connected when it is handed over."""
    started = Fleet(size, told, worker=worker, variables=variables)
    try:
        started.connected()
        yield started
    finally:
        started.stop()


async def obey(environment: object) -> None:
    """Says that it is ready, then carries out one order on each line of standard input by
    the method of that name, and answers with one line, until the input ends."""
    print(json.dumps("ready"), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        outcome = await getattr(environment, order.pop("do"))(**order)
        print(json.dumps(outcome), flush=True)
