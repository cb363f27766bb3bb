"""What Pinecone says of an index: its description and what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steadyrag.adapters.pinecone_client import PineconeClient, open_account, open_index
from steadyrag.adapters.pinecone_schema import differences
from steadyrag.adapters.vendor_http import ApiKey

if TYPE_CHECKING:
    from pinecone import AsyncPinecone
    from pinecone.async_client.async_index import AsyncIndex


@dataclass(frozen=True, slots=True)
class Description:
    """`differences`: what of its schema does not fit, in words."""

    name: str
    ready: bool
    state: str
    differences: Sequence[str]


class PineconeLook:
    """Asks both of Pinecone's planes about the index at `host`."""

    def __init__(
        self,
        *,
        api_key: ApiKey,
        host: str,
        controller_host: str | None,
        dimension: int,
        timeout_s: float = 8.0,
    ) -> None:
        self._host = host
        self._dimension = dimension
        self._account: PineconeClient[AsyncPinecone] = PineconeClient(
            dependency="index",
            api_key=api_key,
            timeout_s=timeout_s,
            make=lambda: open_account(
                api_key=api_key,
                controller_host=controller_host,
                timeout_s=timeout_s,
                max_connections=1,
            ),
        )
        self._index: PineconeClient[AsyncIndex] = PineconeClient(
            dependency="index",
            api_key=api_key,
            timeout_s=timeout_s,
            make=lambda: open_index(
                api_key=api_key, host=host, timeout_s=timeout_s, max_connections=1
            ),
        )

    async def described(self) -> Description | None:
        """None where none of the project's indexes has that host. Raises `DependencyError`."""

        async def ask(account: AsyncPinecone) -> Description | None:
            async for index in account.indexes.list():
                if index.host and _bare(index.host) == _bare(self._host):
                    unlike = differences(index, self._dimension)
                    return Description(index.name, index.status.ready, index.status.state, unlike)
            return None

        return await self._account.call(ask)

    async def counts(self) -> Mapping[str, int]:
        """Chunks by namespace. Raises `DependencyError`."""

        async def ask(index: AsyncIndex) -> Mapping[str, int]:
            stats = await index.describe_index_stats()
            return {name: space.vector_count for name, space in stats.namespaces.items()}

        return await self._index.call(ask)

    async def aclose(self) -> None:
        await self._account.aclose()
        await self._index.aclose()


def _bare(host: str) -> str:
    """The host as the vendor names it and as people copy it."""
    return host.partition("://")[2].rstrip("/") or host.rstrip("/")
