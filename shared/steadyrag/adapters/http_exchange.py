"""One HTTP request at a time, as any client would send it."""

from __future__ import annotations

import email.utils
import functools
import ssl
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from steadyrag.domain.errors import Unavailable

if TYPE_CHECKING:
    import httpx


async def exchange(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_s: float,
) -> httpx.Response:
    """The response, whatever its status; redirects are not followed. Raises `Unavailable`,
    named for the host, where there is none."""
    import httpx

    host = httpx.URL(url).host
    try:
        async with httpx.AsyncClient(timeout=timeout_s, verify=tls_context()) as client:
            return await client.request(method, url, headers=headers, content=body)
    except httpx.TimeoutException as error:
        raise Unavailable(host, f"gave no answer within {timeout_s:g} s") from error
    except httpx.HTTPError as error:
        raise Unavailable(host, f"could not be reached ({type(error).__name__})") from error


async def server_time(url: str, *, timeout_s: float) -> float:
    """The `Date` of whatever a server answers, in epoch seconds, put forward by half of the
    time the answer took. Raises `Unavailable` where it gives none."""
    import httpx

    started = time.perf_counter()
    response = await exchange("HEAD", url, timeout_s=timeout_s)
    half_way_s = (time.perf_counter() - started) / 2
    try:
        said = email.utils.parsedate_to_datetime(response.headers.get("date", ""))
    except ValueError as error:
        raise Unavailable(httpx.URL(url).host, "does not say what time it is") from error
    return said.timestamp() + half_way_s


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Made once, because making it takes longer than a request."""
    import httpx

    return httpx.create_ssl_context()
