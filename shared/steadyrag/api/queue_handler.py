"""Work from a queue as a Lambda handler."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from steadyrag.api.cold_start import ColdStart
from steadyrag.domain.ledger import Letter
from steadyrag.domain.letters import Sweep, read_sweep
from steadyrag.telemetry.log import request
from steadyrag.telemetry.metrics import collecting

GRACE_S = 25.0
"""Before Lambda's own end, to write down how far it came and send the rest on."""

type Work = Callable[[Sequence[Letter], str, float], Awaitable[list[str]]]
"""Messages, a name that is this invocation's alone, and seconds; ids of those that failed."""

type RunSweep = Callable[[Sweep, float], Awaitable[None]]

type QueueHandler = Callable[[dict[str, Any], Any], dict[str, Any]]


def queue_handler(work: Work, sweep: RunSweep, *, function: str | None = None) -> QueueHandler:
    """A handler of batches of SQS messages, which reports those that failed, and of
    `{"sweep": {}}` from a schedule. All invocations of an environment share one event loop;
    the first of them is counted as a cold start of `function`."""
    loop = event_loop()
    started = ColdStart(function)

    async def handle(event: dict[str, Any], seconds: float) -> dict[str, Any]:
        if "sweep" in event:
            await sweep(read_sweep(event), seconds)
            return {}
        letters = [_letter(record) for record in event["Records"]]
        failed = await work(letters, uuid.uuid4().hex, seconds)
        return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in failed]}

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        seconds = max(1.0, context.get_remaining_time_in_millis() / 1000 - GRACE_S)
        with request(context.aws_request_id), collecting():
            started.invoked()
            return loop.run_until_complete(handle(event, seconds))

    return handler


def event_loop() -> asyncio.AbstractEventLoop:
    """This thread's, as `lambda_handler` finds or makes it."""
    try:
        return asyncio.get_event_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop


def _letter(record: dict[str, Any]) -> Letter:
    attributes = {
        name: str(value["stringValue"])
        for name, value in record.get("messageAttributes", {}).items()
        if value.get("stringValue") is not None
    }
    return Letter(
        id=record["messageId"],
        body=record["body"],
        receive_count=int(record.get("attributes", {}).get("ApproximateReceiveCount", "1")),
        attributes=attributes,
    )
