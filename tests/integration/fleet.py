"""Several processes on one shared store, let go at the same moment."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("fleet_worker.py")


class Fleet:
    """`size` processes that each stand for one environment."""

    def __init__(self, size: int, where: Mapping[str, Any]) -> None:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "shared"),
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
        }
        self._processes = [
            subprocess.Popen(
                [sys.executable, str(WORKER), json.dumps(where)],
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

    def all(self, do: str, **order: Any) -> list[dict[str, int]]:
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
def fleet(size: int, where: Mapping[str, Any]) -> Iterator[Fleet]:
    """Running and connected when it is handed over."""
    started = Fleet(size, where)
    try:
        started.connected()
        yield started
    finally:
        started.stop()
