"""Pinecone's SDK as the service uses it: connections kept, no retries, our own errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

from steadyrag.adapters.vendor_http import (
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
    import httpx
    from pinecone import ApiError, AsyncPinecone
    from pinecone.async_client.async_index import AsyncIndex


_SET_LATER = "set-on-each-request"
"""What the SDK's constructors get for a key."""


class _Handle(Protocol):
    async def close(self) -> None: ...


class PineconeClient[H: _Handle]:
    """Calls Pinecone through one SDK handle for the dependency called `dependency`.

    The SDK is imported by the first call, which takes longer than a cache hit may; that does
    not count against the call's timeout.
    """

    def __init__(
        self, *, dependency: str, api_key: ApiKey, timeout_s: float, make: Callable[[], H]
    ) -> None:
        self._dependency = dependency
        self._api_key = api_key
        self._timeout_s = timeout_s
        self._handles = PerLoop(make, lambda handle: handle.close())

    async def call[T](
        self,
        ask: Callable[[H], Awaitable[T]],
        *,
        timeout_s: float | None = None,
        sends_content: bool = False,
    ) -> T:
        """`ask(handle)` within the timeout, and again when the key turns out to have been
        replaced; raises `DependencyError` for whatever the SDK raises, and for an answer that
        `ask` cannot read. What the vendor cannot take is `Rejected` where a request
        `sends_content` of documents; any other we make ourselves, each like the last."""
        import httpx
        from pinecone import errors

        limit_s = timeout_s or self._timeout_s
        key = await current(self._api_key)
        if not key:
            raise Refused(self._dependency, "has no API key")
        try:
            handle = await self._handles.get()
            async with asyncio.timeout(limit_s):
                try:
                    return await ask(handle)
                except errors.UnauthorizedError:
                    if not await replaced(self._api_key, key):
                        raise
                    return await ask(handle)
        except DependencyError:
            raise
        except TimeoutError as error:  # the SDK's own is one, too
            problem = f"gave no answer within {limit_s:g} s"
            raise Unavailable(self._dependency, problem) from error
        except (errors.PineconeConnectionError, httpx.HTTPError) as error:
            raise Unavailable(self._dependency, "could not be reached") from error
        except errors.ApiError as error:
            raise self._translated(error, sends_content) from error
        except (errors.PineconeValueError, errors.PineconeTypeError) as error:
            problem = f"cannot be asked that: {type(error).__name__} from its SDK"
            kind = Rejected if sends_content else Refused
            raise kind(self._dependency, problem) from error
        except (errors.PineconeError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise Unavailable(self._dependency, "gave an answer that makes no sense") from error

    def _translated(self, error: ApiError, sends_content: bool) -> DependencyError:
        status, code = error.status_code, word(error.error_code)
        problem = answered(status, code)
        wait_s = retry_after_s(error.headers or {})
        if status == 429 and code != "QUOTA_EXCEEDED":
            return Throttled(self._dependency, problem, retry_after_s=wait_s)
        if status >= 500 or status == 408:
            return Unavailable(self._dependency, problem, retry_after_s=wait_s)
        if sends_content and status in (400, 413, 422):
            return Rejected(self._dependency, problem)
        return Refused(self._dependency, problem)

    async def aclose(self) -> None:
        await self._handles.aclose()


def open_index(*, api_key: ApiKey, host: str, timeout_s: float, max_connections: int) -> AsyncIndex:
    """The data plane of one index."""
    from pinecone.async_client.async_index import AsyncIndex

    handle = AsyncIndex(host=host, api_key=_SET_LATER, timeout=timeout_s)
    _take_over(handle._http, handle.host, api_key, timeout_s, max_connections)
    _ = handle.documents  # imports what it needs
    return handle


def open_account(
    *, api_key: ApiKey, controller_host: str | None, timeout_s: float, max_connections: int
) -> AsyncPinecone:
    """The control plane and the hosted models."""
    from pinecone import AsyncPinecone

    handle = AsyncPinecone(api_key=_SET_LATER, host=controller_host, timeout=timeout_s)
    host = handle._config.host
    for http in (handle._http, handle.inference._http):
        _take_over(http, host, api_key, timeout_s, max_connections)
    return handle


def _take_over(
    sdk: Any, host: str, api_key: ApiKey, timeout_s: float, max_connections: int
) -> None:
    """Gives an SDK client our HTTP client before it makes its own.

    Its own drops connections after 5 idle seconds, and for index operations retries three
    times with pauses; the SDK's constructors let neither be changed. Ours sends the current
    key with each request, so a rotated one needs no new client.
    """
    import httpx

    if getattr(sdk, "_client", sdk) is not None:
        raise RuntimeError("this release of the pinecone SDK builds its HTTP client elsewhere")

    async def authorise(request: httpx.Request) -> None:
        request.headers["Api-Key"] = await current(api_key)

    limits = httpx.Limits(
        max_connections=max_connections,
        max_keepalive_connections=max_connections,
        keepalive_expiry=KEEPALIVE_S,
    )
    sdk._client = client_class(httpx)(
        base_url=host,
        headers=sdk._headers,
        timeout=timeout_s,
        verify=shared_ssl_context(),
        limits=limits,
        event_hooks={"request": [authorise]},
    )
