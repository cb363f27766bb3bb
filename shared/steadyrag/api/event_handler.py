"""Events that nobody waits for, as a Lambda handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from steadyrag.api.cold_start import ColdStart
from steadyrag.api.queue_handler import event_loop
from steadyrag.telemetry.log import request
from steadyrag.telemetry.metrics import collecting

GRACE_S = 15.0
"""Before Lambda's own end, to keep what is done."""

type Work = Callable[[Any, float], Awaitable[None]]
"""What an event says, and seconds to do it in."""

type EventHandler = Callable[[dict[str, Any], Any], None]


def event_handler(works: Mapping[str, Work], *, function: str | None = None) -> EventHandler:
    """A handler of events that are named by their only key, such as `{"golden": {}}`, each of
    which has work of its own; of another one it raises `LookupError`. All invocations of an
    environment share one event loop; the first of them is counted as a cold start of
    `function`."""
    loop = event_loop()
    started = ColdStart(function)

    def handler(event: dict[str, Any], context: Any) -> None:
        seconds = max(1.0, context.get_remaining_time_in_millis() / 1000 - GRACE_S)
        with request(context.aws_request_id), collecting():
            started.invoked()
            kind = next(iter(event.keys() & works.keys()), None)
            if kind is None:
                raise LookupError(f"events of this function have one of the keys {sorted(works)}")
            loop.run_until_complete(_done(works[kind], event[kind], seconds))

    return handler


async def _done(work: Work, said: Any, seconds: float) -> None:
    await work(said, seconds)
