"""An AWS service as an adapter calls it: in a thread, bounded in time, our own errors.

boto3 is the Lambda runtime's own, so it is no dependency of the bundle.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from traceback import clear_frames
from typing import Any
from urllib.parse import urlsplit

from steadyrag.adapters.vendor_http import KEEPALIVE_S, retry_after_s
from steadyrag.domain.errors import ConfigError, Refused, Throttled, Unavailable

MAX_CONNECTIONS = 16
"""And threads. Where more calls come at once, they wait their turn."""

_THROTTLED = frozenset(
    {
        "KMS.ThrottlingException",
        "OverLimit",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "SlowDown",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

type ToldApart = Callable[[str, int, Any], Exception | None]
"""What a service's answer means that only its adapter knows: by code, HTTP status and the
whole response. None for the usual."""


class AwsClient:
    """One boto3 client, made by the first call; making it does not count against a timeout.

    A call may take `timeout_s`, and the first one `connect_timeout_s`. The thread of a call
    that was given up runs on until the socket's own timeout, `connect_timeout_s` for each of
    connecting and reading, and leaves its connection to the next call.

    name: what the service is called in errors and metrics. `config`: more for botocore's.
    """

    def __init__(
        self,
        service: str,
        *,
        name: str,
        endpoint_url: str | None,
        region: str | None,
        timeout_s: float,
        connect_timeout_s: float,
        local: bool = False,
        clock: Callable[[], float] = time.time,
        told_apart: ToldApart = lambda code, status, response: None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self._service = service
        self._name = name
        self._where = where(endpoint_url, region, local=local)
        self._local = local
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._clock = clock
        self._told_apart = told_apart
        self._config = config or {}
        self._used_at = clock()
        self._threads: ThreadPoolExecutor | None = None
        self._client: Future[Any] | None = None
        self._met = False

    async def load(self) -> None:
        """Imports boto3 and makes the client; raises `Refused` when its set-up is wrong."""
        from botocore.exceptions import BotoCoreError

        if self._client is None or _failed(self._client):
            self._client = self._pool().submit(self._make)
        try:
            await asyncio.shield(asyncio.wrap_future(self._client))
        except (BotoCoreError, ValueError) as error:
            self._client = None
            raise Refused(self._name, f"can't be called ({type(error).__name__})") from error

    async def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """One operation of the boto3 client. Raises `DependencyError`, or what the adapter
        tells apart."""
        return await self.run(lambda client: getattr(client, operation)(**request))

    async def run[R](self, work: Callable[[Any], R], *, within_s: float | None = None) -> R:
        """`work` on the boto3 client, in a thread; errors as for `call`. It may be begun twice:
        when the first try finds that a kept connection has been dropped."""
        if self._client is None or not self._client.done() or _failed(self._client):
            await self.load()
        assert self._client is not None  # noqa: S101
        client = self._client.result()
        now, limit_s = self._clock(), self._timeout_s if self._met else self._connect_timeout_s
        if now - self._used_at > KEEPALIVE_S:
            client.close()
            limit_s = self._connect_timeout_s
        if within_s is not None:
            limit_s = within_s
        self._used_at = now
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit_s):
                answer = await loop.run_in_executor(self._pool(), self._ask, client, work)
        except TimeoutError as error:
            raise Unavailable(self._name, f"gave no answer within {limit_s:g} s") from error
        self._met = True
        return answer

    async def aclose(self) -> None:
        """Drops connections; the next call opens new ones."""
        if self._client is not None and self._client.done() and not _failed(self._client):
            self._client.result().close()
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MAX_CONNECTIONS, thread_name_prefix=self._name)
        return self._threads

    def _make(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            self._service,
            **self._where,
            config=Config(
                connect_timeout=self._connect_timeout_s,
                read_timeout=self._connect_timeout_s,
                retries={"total_max_attempts": 1},
                max_pool_connections=MAX_CONNECTIONS,
                tcp_keepalive=True,
                proxies={} if self._local else None,
                **self._config,
            ),
        )

    def _ask[R](self, client: Any, work: Callable[[Any], R]) -> R:
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionClosedError,
            NoCredentialsError,
            PartialCredentialsError,
        )

        try:
            with reading(self._name):
                try:
                    return work(client)
                except ConnectionClosedError:  # a kept connection had been dropped
                    return work(client)
        except ClientError as error:
            raise self._translated(error.response) from None  # its text may repeat what was sent
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise Refused(self._name, "has no credentials") from error
        except (BotoCoreError, OSError) as error:
            problem = f"could not be reached ({type(error).__name__})"
            raise Unavailable(self._name, problem) from error

    def _translated(self, response: Any) -> Exception:
        code = str(response.get("Error", {}).get("Code", ""))
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
        known = self._told_apart(code, status, response)
        if known is not None:
            return known
        if code in _THROTTLED or status == 429:
            headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
            wait_s = retry_after_s(headers)
            return Throttled(self._name, f"answered {status} {code}", retry_after_s=wait_s)
        if status >= 500:
            return Unavailable(self._name, f"answered {status} {code}")
        return Refused(self._name, f"answered {status} {code}")


def _failed(made: Future[Any]) -> bool:
    """Whether making it has failed, perhaps while nobody was waiting any more."""
    return made.done() and (made.cancelled() or made.exception() is not None)


def where(endpoint_url: str | None, region: str | None, *, local: bool) -> dict[str, str | None]:
    """What boto3 is told of where AWS is; of what is None it asks the environment.

    With `local`, that is a stand-in on this machine that takes made-up credentials. They are
    never sent anywhere else, and no others to it: raises `ConfigError` for an endpoint that is
    not on loopback.
    """
    if not local:
        return {"endpoint_url": endpoint_url, "region_name": region}
    if not _on_loopback(endpoint_url):
        raise ConfigError(f"{endpoint_url} is not an address of this machine's own, as 127.0.0.1")
    return {
        "endpoint_url": endpoint_url,
        "region_name": region or "us-east-1",
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
    }


def _on_loopback(url: str | None) -> bool:
    host = urlsplit(url or "").hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Around what takes an answer apart: one that makes no sense is the service's failure."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        problem = f"gave an answer that makes no sense ({type(error).__name__})"
        clear_frames(error.__traceback__)  # they hold the connection of a body nobody will read
        raise Unavailable(name, problem) from None
