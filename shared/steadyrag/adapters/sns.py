"""A topic in SNS."""

from __future__ import annotations

import re
from typing import Any

from steadyrag.adapters.aws_client import AwsClient
from steadyrag.domain.errors import Throttled

NAME = "sns"

LONGEST_SUBJECT = 100
"""By SNS's rules: less than 100 characters of ASCII that begin with no blank."""

LARGEST_BYTES = 256 * 1024


class SnsTopic:
    """Implements `Topic` on the topic `arn`. A subject is cut to what SNS takes, a text to
    256 KiB."""

    def __init__(self, arn: str, *, timeout_s: float = 5.0) -> None:
        self._arn = arn
        self._client = AwsClient(
            "sns",
            name=NAME,
            endpoint_url=None,
            region=arn.split(":")[3],
            timeout_s=timeout_s,
            connect_timeout_s=timeout_s,
            told_apart=_told_apart,
        )

    async def publish(self, subject: str, text: str) -> None:
        await self._client.call(
            "publish",
            TopicArn=self._arn,
            Subject=re.sub(r"[^ -~]", "?", subject).lstrip()[: LONGEST_SUBJECT - 1],
            Message=text.encode()[:LARGEST_BYTES].decode(errors="ignore"),
        )

    async def aclose(self) -> None:
        """Drops connections; the next call opens new ones."""
        await self._client.aclose()


def _told_apart(code: str, status: int, response: Any) -> Exception | None:
    """Its own words for it, and its key's."""
    if code in ("KMSThrottling", "Throttled", "Throttling"):
        return Throttled(NAME, f"answered {status} {code}")
    return None
