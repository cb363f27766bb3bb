"""Many of AWS's services as the doctor asks them, each through a client of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from steadyrag.adapters.aws_client import AwsClient
from steadyrag.domain.errors import Refused

TIMEOUT_S = 5.0


class AwsCalls:
    """Clients are made when first used. Who asks and in which region, boto3 reads from its own
    settings."""

    def __init__(self) -> None:
        self._clients: dict[str, AwsClient] = {}

    async def ask(
        self, service: str, operation: str, *, missing: Collection[str] = (), **request: Any
    ) -> Any:
        """What the operation answers, or None where AWS answers with an error code of
        `missing`. Raises `DependencyError`, named for the service, with AWS's code and never
        its text."""
        try:
            return await self._client(service).call(operation, **request)
        except _Answered as error:
            if error.code in missing:
                return None
            raise Refused(f"aws {service}", f"answered {error.status} {error.code}") from None

    async def ask_all(self, service: str, operation: str, part: str, **request: Any) -> list[Any]:
        """The entries of `part` of every page."""

        def pages(client: Any) -> list[Any]:
            return [
                entry
                for page in client.get_paginator(operation).paginate(**request)
                for entry in page.get(part, [])
            ]

        return await self._client(service).run(pages)

    async def endpoint(self, service: str) -> tuple[str, str]:
        """Where the service is, and in which region."""
        return await self._client(service).run(_endpoint)

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    def _client(self, service: str) -> AwsClient:
        if service not in self._clients:
            self._clients[service] = AwsClient(
                service,
                name=f"aws {service}",
                endpoint_url=None,
                region=None,
                timeout_s=TIMEOUT_S,
                connect_timeout_s=TIMEOUT_S,
                told_apart=_not_there,
            )
        return self._clients[service]


class _Answered(Exception):
    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


def _not_there(code: str, status: int, response: Any) -> _Answered | None:
    """What may say that something does not exist: not every service answers 404 to that."""
    told = status == 404 or any(word in code for word in ("NotFound", "NonExistent", "NoSuch"))
    return _Answered(code, status) if told or code == "ValidationError" else None


def _endpoint(client: Any) -> tuple[str, str]:
    return client.meta.endpoint_url, client.meta.region_name
