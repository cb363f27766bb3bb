"""An ingest function with its queue's poller, as a process that may be killed at any moment.

Polls as Lambda's event source mapping does: up to ten messages, deleted when they are done.
Ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import uuid
from collections.abc import Sequence

import boto3

from steadyrag.api.queue_handler import queue_handler
from steadyrag.domain.ledger import Letter
from steadyrag.domain.letters import Sweep
from steadyrag.ingest_worker import work
from steadyrag.settings import load
from steadyrag.sweep import sweep
from steadyrag.wiring.documents import build_worker

SECONDS, GRACE_S = 4.0, 2.0
"""Of one invocation. Lambda kills the function when both are over, and so do we."""
VISIBILITY_S = 12
"""After which an unfinished batch is delivered again."""


class _Context:
    def __init__(self) -> None:
        self.aws_request_id = uuid.uuid4().hex

    def get_remaining_time_in_millis(self) -> int:
        return 0  # the handler is told how long by what it calls


def main() -> None:
    logging.disable(logging.WARNING)
    settings = load()
    parts = build_worker(settings)

    async def works(letters: Sequence[Letter], owner: str, _: float) -> list[str]:
        return await work(letters, parts, owner=owner, seconds=SECONDS, grace_s=GRACE_S)

    async def sweeps(wish: Sweep, _: float) -> None:
        await sweep(wish, parts, seconds=SECONDS)

    handler = queue_handler(works, sweeps)
    queue = boto3.client("sqs")
    over = threading.Event()
    threading.Thread(target=_await_the_end, args=(over,), daemon=True).start()
    print("ready", flush=True)
    while not over.is_set():
        received = queue.receive_message(
            QueueUrl=settings.ingest_queue_url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=1,
            VisibilityTimeout=VISIBILITY_S,
            AttributeNames=["ApproximateReceiveCount"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        if not received:
            continue
        signal.alarm(round(SECONDS + GRACE_S + 2))
        records = [
            {
                "messageId": message["MessageId"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {
                    name: {"stringValue": value["StringValue"]}
                    for name, value in message.get("MessageAttributes", {}).items()
                },
            }
            for message in received
        ]
        answer = handler({"Records": records}, _Context())
        signal.alarm(0)
        failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
        done = [message for message in received if message["MessageId"] not in failed]
        if done:
            queue.delete_message_batch(
                QueueUrl=settings.ingest_queue_url,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
                    for n, message in enumerate(done)
                ],
            )
    asyncio.get_event_loop().run_until_complete(parts.aclose())


def _await_the_end(over: threading.Event) -> None:
    while os.read(0, 1 << 16):
        pass
    over.set()


if __name__ == "__main__":
    main()
