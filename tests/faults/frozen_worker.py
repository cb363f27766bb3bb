"""A search function's environment as a process whose wall clock can be moved.

Reads orders from standard input, a line of JSON each, and answers each with a line. Between
two of them nothing of the function runs, as in an environment that is frozen.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

_now = time.time


class WallClock:
    """Moves on while the process is frozen; its monotonic clock stands still."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return _now() + self.ahead_s


class Environment:
    def __init__(self, clock: WallClock) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())
        from integration.test_lambda import CONTEXT, event, load_function

        handler = load_function("search").handler
        self._clock = clock
        self._invoke: Callable[[str], dict[str, Any]] = lambda question: handler(
            event("POST", "/search", {"query": question}), CONTEXT
        )

    def freeze(self, *, seconds: float) -> dict[str, Any]:
        self._clock.ahead_s += seconds
        return {}

    def ask(self, *, question: str) -> dict[str, Any]:
        started = time.perf_counter()
        response = self._invoke(question)
        seconds = time.perf_counter() - started
        return {
            "status": response["statusCode"],
            "body": json.loads(response["body"]),
            "seconds": seconds,
        }


def main() -> None:
    time.time = clock = WallClock()  # before anything takes it for its own
    environment = Environment(clock)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(getattr(environment, order.pop("do"))(**order)), flush=True)


if __name__ == "__main__":
    main()
