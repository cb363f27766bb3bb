"""What the vendors' HTTP clients have in common: keys, TLS, connections, Retry-After."""

import asyncio
import email.utils
import functools
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class ExpiringKey(Protocol):
    """A key that is kept somewhere else, and read again once it is declared wrong."""

    async def __call__(self) -> str: ...

    def expire(self, refused: str | None = None) -> None: ...


type ApiKey = str | Callable[[], Awaitable[str]] | ExpiringKey
"""A key, or what returns the current one: it is asked before every request."""

KEEPALIVE_S = 300.0
"""How long an idle connection is kept. The HTTP libraries give up after 5 s, which makes
every request of a quiet service pay for a TLS handshake."""

CONNECT_TIMEOUT_S = 3.0

_WORD = re.compile(r"[A-Za-z_.]{1,48}")


def word(value: object) -> str | None:
    """`value` where it looks like an error code. All that a vendor says of an error but its
    code may quote keys and questions; keys hold digits, and sentences spaces."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def answered(status: int, code: str | None) -> str:
    """What to say of an error, in logs too: `answered 401 invalid_api_key`."""
    return f"answered {status} {code}" if code else f"answered {status}"


async def current(key: ApiKey) -> str:
    return key if isinstance(key, str) else await key()


async def replaced(key: ApiKey, refused: str) -> bool:
    """Whether there is another key than the one that a vendor has just `refused`; looks for
    it where it is kept."""
    if isinstance(key, ExpiringKey):
        key.expire(refused)
    return await current(key) != refused


@functools.cache
def shared_ssl_context() -> ssl.SSLContext:
    """One context for all clients: building one costs more than a request."""
    import httpx2

    return httpx2.create_ssl_context()


@functools.cache
def client_class(http: ModuleType) -> Any:
    """`AsyncClient` of httpx or httpx2 that notices dead connections.

    A kept connection may have died unseen, most of all while Lambda froze the environment:
    the first bytes sent on it bring a reset. Where a request met that end on a connection it
    did not open, and no answer had begun, it is sent again; on one that it opened itself, the
    failure is the vendor's. Each turn uses up a kept connection, so there is a last one.
    """

    class Client(http.AsyncClient):  # type: ignore[misc, name-defined]
        async def send(self, request: Any, **options: Any) -> Any:
            while True:
                own = False

                async def watch(event: str, _: object) -> None:
                    nonlocal own
                    own = own or event.endswith(_FINAL)

                request.extensions = {**request.extensions, "trace": watch}
                try:
                    return await super().send(request, **options)
                except (http.NetworkError, http.RemoteProtocolError):
                    if own:
                        raise

    return Client


_FINAL = ("connect_tcp.started", "receive_response_headers.complete")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to wait: `retry-after-ms`, or `Retry-After` in seconds
    or as a date (RFC 9110, section 10.2.3). None where it says nothing sensible."""
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        if "retry-after-ms" in lower:
            wait_s = float(lower["retry-after-ms"]) / 1000
        else:
            wait_s = float(lower["retry-after"])
    except KeyError:
        return None
    except ValueError:
        try:
            wait_s = email.utils.parsedate_to_datetime(lower["retry-after"]).timestamp()
        except (KeyError, ValueError):
            return None
        wait_s = max(0.0, wait_s - time.time())
    return wait_s if 0 <= wait_s < float("inf") else None


class PerLoop[T]:
    """One client for each event loop, made when first asked for.

    A client's sockets belong to the loop that opened them. Where the loop has changed, the
    old client is left to the garbage collector, because its loop can no longer close it.
    After `aclose` the next `get` makes a new one: that is how connections are dropped when
    a frozen environment wakes up elsewhere. So does a pause of `KEEPALIVE_S` by the wall
    clock: the HTTP libraries go by a clock that may stand still while frozen, and the network
    forgets an idle connection without a word.
    """

    def __init__(
        self,
        make: Callable[[], T],
        close: Callable[[T], Awaitable[None]],
        *,
        now: Callable[[], float] | None = None,
    ) -> None:
        self._make = make
        self._close = close
        self._now = now or (lambda: time.time())
        self._held: tuple[asyncio.AbstractEventLoop, T] | None = None
        self._used_at = 0.0

    async def get(self) -> T:
        idle_s, self._used_at = self._now() - self._used_at, self._now()
        if idle_s > KEEPALIVE_S:
            await self.aclose()
        loop = asyncio.get_running_loop()
        if self._held is None or self._held[0] is not loop:
            self._held = loop, self._make()
        return self._held[1]

    async def aclose(self) -> None:
        held, self._held = self._held, None
        if held is not None and held[0] is asyncio.get_running_loop():
            await self._close(held[1])
