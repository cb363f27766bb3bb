"""DynamoDB as the stores call it. A condition that does not hold is an answer, no failure."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from steadyrag.adapters import aws_client
from steadyrag.adapters.aws_client import AwsClient

NAME = "dynamodb"

type Item = dict[str, dict[str, Any]]


class ConditionFailed(Exception):
    """A conditional write did not happen; `item` is what was there, or None for nothing."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("the condition does not hold")
        self.item = item


class DynamoClient(AwsClient):
    """`call` raises `ConditionFailed` besides."""

    def __init__(
        self,
        *,
        endpoint_url: str | None,
        region: str | None,
        timeout_s: float,
        connect_timeout_s: float,
        local: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            "dynamodb",
            name=NAME,
            endpoint_url=endpoint_url,
            region=region,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            local=local,
            clock=clock,
            told_apart=_told_apart,
        )


def _told_apart(code: str, status: int, response: Any) -> Exception | None:
    if code == "ConditionalCheckFailedException":
        return ConditionFailed(response.get("Item"))
    return None


def reading() -> AbstractContextManager[None]:
    """Around what takes an answer apart: one that makes no sense is the service's failure."""
    return aws_client.reading(NAME)
