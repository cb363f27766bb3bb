"""OpenAI's SDK as the service uses it: one endpoint a client, no retries, our own errors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from steadyrag.adapters.vendor_http import (
    CONNECT_TIMEOUT_S,
    KEEPALIVE_S,
    ApiKey,
    PerLoop,
    answered,
    client_class,
    current,
    replaced,
    retry_after_s,
    shared_ssl_context,
    word,
)
from steadyrag.domain.errors import DependencyError, Refused, Rejected, Throttled, Unavailable

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

OUT_OF_MONEY = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    }
)
"""Error codes of a 429 that no waiting cures:
https://platform.openai.com/docs/guides/error-codes."""

_CALLERS_PART = re.compile(r"(\$\.)?(input|messages)\b")
"""What of a request is a caller's text; the rest of it is configuration. An answer that names
no part may be about either, so no text is blamed for it."""

_CALLERS_FAULT = frozenset({"invalid_prompt", "context_length_exceeded"})
"""Error codes of a 400 that say as much without naming a part. Who asks must not be able to
make the vendor look lost to everybody."""


class OpenAIClient:
    """Calls one OpenAI endpoint for the dependency called `dependency`.

    The SDK is imported by the first call, which takes longer than a cache hit may; that does
    not count against the call's timeout. `touch` reaches for what the calls will use, because
    the SDK imports each resource when it is first named.
    """

    def __init__(
        self,
        *,
        dependency: str,
        touch: Callable[[AsyncOpenAI], object],
        api_key: ApiKey,
        base_url: str | None,
        timeout_s: float,
        max_connections: int,
    ) -> None:
        self._dependency = dependency
        self._touch = touch
        self._api_key = api_key
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._max_connections = max_connections
        self._clients = PerLoop(self._open, lambda client: client.close())

    def _open(self) -> AsyncOpenAI:
        import httpx2
        from openai import AsyncOpenAI

        async def key() -> str:
            return await current(self._api_key)

        limits = httpx2.Limits(
            max_connections=self._max_connections,
            max_keepalive_connections=self._max_connections,
            keepalive_expiry=KEEPALIVE_S,
        )
        http = client_class(httpx2)(verify=shared_ssl_context(), limits=limits)
        return AsyncOpenAI(
            api_key=key,
            base_url=self._base_url,
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),  # `call` sets the limit
            http_client=http,
        )

    async def call[T](
        self, ask: Callable[[AsyncOpenAI], Awaitable[T]], *, timeout_s: float | None = None
    ) -> T:
        """`ask(client)` within the timeout, and again when the key turns out to have been
        replaced; raises `DependencyError` for whatever the SDK raises, and for an answer that
        `ask` cannot read."""
        import openai

        limit_s = timeout_s or self._timeout_s
        key = await current(self._api_key)
        if not key:
            raise Refused(self._dependency, "has no API key")
        try:
            client = await self._clients.get()
            self._touch(client)
            async with asyncio.timeout(limit_s):
                try:
                    return await ask(client)
                except openai.AuthenticationError:
                    if not await replaced(self._api_key, key):
                        raise
                    return await ask(client)
        except DependencyError:
            raise
        except (TimeoutError, openai.APITimeoutError) as error:
            problem = f"gave no answer within {limit_s:g} s"
            raise Unavailable(self._dependency, problem) from error
        except openai.APIConnectionError as error:
            raise Unavailable(self._dependency, "could not be reached") from error
        except openai.APIStatusError as error:
            raise self._translated(error) from error
        except (openai.OpenAIError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise Unavailable(self._dependency, "gave an answer that makes no sense") from error

    def _translated(self, error: APIStatusError) -> DependencyError:
        status, code = error.status_code, word(error.code)
        part = error.param if isinstance(error.param, str) else ""
        problem = answered(status, code)
        if status == 429:
            if code in OUT_OF_MONEY or word(error.type) in OUT_OF_MONEY:
                return Refused(self._dependency, problem)
            wait_s = retry_after_s(error.response.headers)
            return Throttled(self._dependency, problem, retry_after_s=wait_s)
        if status >= 500 or status in (408, 409):
            wait_s = retry_after_s(error.response.headers)
            return Unavailable(self._dependency, problem, retry_after_s=wait_s)
        if status in (400, 413, 422) and (_CALLERS_PART.match(part) or code in _CALLERS_FAULT):
            return Rejected(self._dependency, problem)
        if word(part):
            problem += f" ({part})"
        return Refused(self._dependency, problem)

    async def aclose(self) -> None:
        await self._clients.aclose()
