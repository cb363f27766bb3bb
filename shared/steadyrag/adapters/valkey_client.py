"""Valkey as the store calls it: bounded in time, reconnected once, our own errors."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from steadyrag.adapters.valkey_nodes import Address, Keyed, ValkeyNodes, connection_class
from steadyrag.adapters.valkey_scripts import Script
from steadyrag.adapters.vendor_http import PerLoop
from steadyrag.domain.errors import DependencyError, Refused, Unavailable

if TYPE_CHECKING:
    from steadyrag.adapters.valkey_iam import IamCredentials

NAME = "valkey"


class ValkeyClient:
    """Runs commands within `timeout_s`, or `connect_timeout_s` where it has to connect first.

    A call that finds its connection dropped is sent once more, on a new one. No error holds a
    key, a value or the URL.
    """

    def __init__(
        self,
        *,
        url: str,
        timeout_s: float,
        connect_timeout_s: float,
        clock: Callable[[], float],
        credentials: IamCredentials | None = None,
    ) -> None:
        self._address = address = Address.of(url)
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._nodes = PerLoop(
            lambda: ValkeyNodes(
                address, connect_timeout_s=connect_timeout_s, credentials=credentials
            ),
            lambda nodes: nodes.aclose(),
            now=clock,
        )

    def load(self) -> None:
        """Imports the client library, which takes longer than a call may."""
        import redis.asyncio  # noqa: F401

        connection_class(tls=self._address.tls, ca_file=self._address.ca_file)

    async def warm(self) -> None:
        """`load`, and what signing in takes besides; opens no connection to the server."""
        self.load()
        if self._credentials is not None:
            await self._credentials.warm()

    async def run(self, commands: Sequence[Keyed]) -> list[Any]:
        """The replies, in order; raises for the first that is an error."""
        if not commands:
            return []
        return _checked(await self._answers(commands))

    async def script(self, script: Script, key: str, *arguments: str | bytes | int) -> Any:
        """What the script answers for `key`; sends its source where the server lacks it."""
        self.load()
        from redis.exceptions import NoScriptError

        [reply] = await self._answers([(key, ("EVALSHA", script.sha, 1, key, *arguments))])
        if isinstance(reply, NoScriptError):
            [reply] = await self._answers([(key, ("EVAL", script.source, 1, key, *arguments))])
        return _checked([reply])[0]

    async def aclose(self) -> None:
        """Drops connections; the next call opens new ones, signing in anew."""
        if self._credentials is not None:
            self._credentials.expire()
        await self._nodes.aclose()

    async def _answers(self, commands: Sequence[Keyed]) -> list[Any]:
        self.load()
        from redis import exceptions

        nodes = await self._nodes.get()
        connected, epoch = nodes.connected, nodes.epoch
        try:
            answers = await self._within(nodes, commands)
        except DependencyError as error:
            await nodes.forget(epoch)
            if self._credentials is not None and isinstance(error, Refused):
                self._credentials.expire()
            if not (connected and type(error.__cause__) is exceptions.ConnectionError):
                raise
            answers = await self._within(nodes, commands)
        moved = exceptions.AskError | exceptions.ClusterError | exceptions.ReadOnlyError
        if any(isinstance(answer, moved) for answer in answers):
            await nodes.forget(epoch)
        return answers

    async def _within(self, nodes: ValkeyNodes, commands: Sequence[Keyed]) -> list[Any]:
        from redis import exceptions

        limit_s = self._timeout_s if nodes.connected else self._connect_timeout_s
        try:
            with reading():
                async with asyncio.timeout(limit_s):
                    return await nodes.run(commands)
        except (TimeoutError, exceptions.TimeoutError) as error:
            raise Unavailable(NAME, f"gave no answer within {limit_s:g} s") from error
        except exceptions.RedisError as error:
            raise _translated(error) from error
        except OSError as error:
            raise Unavailable(NAME, "could not be reached") from error


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Around what takes an answer apart: one that makes no sense is the server's failure."""
    try:
        yield
    except (struct.error, AttributeError, LookupError, TypeError, ValueError) as error:
        problem = f"gave an answer that makes no sense ({type(error).__name__})"
        raise Unavailable(NAME, problem) from None


def _checked(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, Exception):
            raise _translated(answer) from None  # its text may repeat what was sent
    return answers


def _translated(error: Exception) -> DependencyError:
    from redis import exceptions

    if isinstance(error.__cause__, DependencyError):  # there was nothing to sign in with
        return error.__cause__
    if isinstance(
        error,
        exceptions.AuthenticationError
        | exceptions.AuthenticationWrongNumberOfArgsError
        | exceptions.AuthorizationError
        | exceptions.NoPermissionError,
    ):
        return Refused(NAME, "does not accept our user or password")
    if isinstance(error, exceptions.ResponseError):
        return Unavailable(NAME, f"answered with an error ({type(error).__name__})")
    return Unavailable(NAME, f"could not be reached ({type(error).__name__})")
