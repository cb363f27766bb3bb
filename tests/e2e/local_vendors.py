"""The local OpenAI and Pinecone, as tests see them and trouble them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

VISIBLE_AFTER_S = 1.0
"""How long a write to the index takes to be seen, as long as no test says otherwise."""


@dataclass(frozen=True, slots=True)
class Vendors:
    """Where both listen."""

    openai: str
    pinecone: str

    def asked(self) -> list[dict[str, Any]]:
        """Every request that OpenAI got: its operation, body and connection number."""
        listed: list[dict[str, Any]] = httpx.get(f"{self.openai}/_requests").json()
        return listed

    def asked_in_all(self) -> int:
        """How many requests both have had."""
        addresses = (self.openai, self.pinecone)
        return sum(len(httpx.get(f"{address}/_requests").json()) for address in addresses)

    def settle(self) -> None:
        """Makes what has been written to the index visible now."""
        httpx.post(f"{self.pinecone}/_settle").raise_for_status()

    @contextmanager
    def slow_to_show(self, after_s: float) -> Iterator[None]:
        """Lets what is written to the index meanwhile be seen only so much later."""
        self._visible_after(after_s)
        try:
            yield
        finally:
            self._visible_after(VISIBLE_AFTER_S)
            self.settle()

    @contextmanager
    def throttling(self, operation: str, *, retry_after_s: float) -> Iterator[None]:
        """Answers one of OpenAI's operations with 429 until the block ends."""
        fault = {"kind": "status", "status": 429, "retry_after_s": retry_after_s}
        order = {"operation": operation, "fault": fault}
        httpx.post(f"{self.openai}/_faults", json=order).raise_for_status()
        try:
            yield
        finally:
            httpx.delete(f"{self.openai}/_faults").raise_for_status()

    def _visible_after(self, after_s: float) -> None:
        httpx.post(f"{self.pinecone}/_visibility", json={"after_s": after_s}).raise_for_status()
