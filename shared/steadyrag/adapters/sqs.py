"""A queue in SQS."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from steadyrag.adapters.aws_client import AwsClient
from steadyrag.domain.errors import Rejected

NAME = "sqs"

LARGEST_BODY_BYTES = 240_000
"""SQS takes 1 MiB, body and attributes together, and what forwards messages often 256 kB."""

LARGEST_ATTRIBUTE_BYTES = 2000

_NOT_TAKEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class SqsQueue:
    """Implements `Queue` on the queue at `url`. `local` is as for `DynamoStore`. Attributes
    are cut at 2,000 bytes, and empty ones left out; a body of more than 240,000 bytes is
    `Rejected`."""

    def __init__(
        self,
        url: str,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        local: bool = False,
        clock: Callable[[], float] = time.time,
        timeout_s: float = 5.0,
    ) -> None:
        self._url = url
        self._client = AwsClient(
            "sqs",
            name=NAME,
            endpoint_url=endpoint_url,
            region=region,
            timeout_s=timeout_s,
            connect_timeout_s=timeout_s,
            local=local,
            clock=clock,
            told_apart=_told_apart,
        )

    async def send(
        self, body: str, *, delay_s: int = 0, attributes: Mapping[str, str] | None = None
    ) -> None:
        body = _NOT_TAKEN.sub("\ufffd", body)
        size = len(body.encode())
        if size > LARGEST_BODY_BYTES:
            problem = f"a message of {size:,} bytes is too large: at most {LARGEST_BODY_BYTES:,}"
            raise Rejected(NAME, problem)
        await self._client.call(
            "send_message",
            QueueUrl=self._url,
            MessageBody=body,
            DelaySeconds=delay_s,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": _cut(value)}
                for name, value in (attributes or {}).items()
                if value
            },
        )

    async def aclose(self) -> None:
        """Drops connections; the next call opens new ones."""
        await self._client.aclose()


def _told_apart(code: str, status: int, response: Any) -> Exception | None:
    if code in ("InvalidMessageContents", "InvalidParameterValue", "BatchRequestTooLong"):
        return Rejected(NAME, f"answered {status} {code}")
    return None


def _cut(value: str) -> str:
    data = _NOT_TAKEN.sub("\ufffd", value).encode()[:LARGEST_ATTRIBUTE_BYTES]
    return data.decode(errors="ignore")
