"""API keys from Secrets Manager or SSM, by name, through Powertools Parameters.

A key is kept for `MAX_AGE_S`, so a rotated one is picked up without a deploy, and sooner when
a vendor refuses the old one. When the store can't be read by then, the key that was good until
now goes on being used.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from steadyrag.domain.errors import DependencyError, Refused, Throttled, Unavailable

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

log = logging.getLogger(__name__)

MAX_AGE_S = 300.0
RETRY_S = 15.0
"""How long an old key serves before the store is asked again."""
EXPIRE_EVERY_S = 30.0
"""How often a vendor's refusal makes us read a key again: a wrong key stays wrong."""
TIMEOUT_S = 2.0

_DEPENDENCY = "secrets"
_BARE = re.compile(r"[!-z|~]+")
"""Printable ASCII without braces: JSON is no key, and neither is a key with a line break."""
_THROTTLED = frozenset(
    {"ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "LimitExceeded"}
)


def secret(reference: str) -> StoredKey:
    """The one reader of `reference` in this process, so that a key is read once for all."""
    return _keys.setdefault(reference, StoredKey(reference))


def expire_all() -> None:
    """Every key is read anew before its next use: for a process that went on from a snapshot,
    which may be weeks old."""
    for key in _keys.values():
        key.expire()


@functools.cache
def prepare(kind: str) -> Any:
    """The Powertools provider for `secretsmanager` or `ssm`. Connects to nothing, but imports
    boto3 and makes its client, which takes longer than reading a key."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider, SSMProvider
    from botocore.config import Config

    make = SecretsProvider if kind == "secretsmanager" else SSMProvider
    return make(
        boto_config=Config(
            connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"total_max_attempts": 2}
        )
    )


class StoredKey:
    """The current value of `secretsmanager:NAME` or `ssm:/NAME`.

    Reading happens in a thread, once however many ask, and may outlive a caller that gives
    up: then it serves the next one. Time is wall-clock: a frozen environment's key ages.
    """

    def __init__(self, reference: str, *, now: Callable[[], float] = time.time) -> None:
        self._reference = reference
        self._kind, _, self._name = reference.partition(":")
        self._now = now
        self._reading: asyncio.Future[str] | None = None
        self._value: str | None = None
        self._fresh_until = 0.0
        self._refused_at = float("-inf")

    async def __call__(self) -> str:
        """Raises `DependencyError`, never with the value in it, while there is no key at all."""
        if self._value is not None and 0 < self._fresh_until - self._now() <= MAX_AGE_S:
            return self._value
        loop = asyncio.get_running_loop()
        reading = self._reading
        if reading is None or reading.done() or reading.get_loop() is not loop:
            reading = self._reading = loop.run_in_executor(None, self._refreshed)
            reading.add_done_callback(_seen)
        return await asyncio.shield(reading)

    def expire(self, refused: str | None = None) -> None:
        """The next call reads the key again. When a vendor `refused` one, only if that is
        still the key we hold, and at most every `EXPIRE_EVERY_S`."""
        if refused is not None:
            if refused != self._value or 0 <= self._now() - self._refused_at < EXPIRE_EVERY_S:
                return
            self._refused_at = self._now()
        self._fresh_until = 0.0

    def _refreshed(self) -> str:
        try:
            value, for_s = self._read(), MAX_AGE_S
        except DependencyError as error:
            if self._value is None:
                raise
            value, for_s = self._value, RETRY_S
            log.warning("old key kept", extra={"reason": error.problem})
        self._value, self._fresh_until = value, self._now() + for_s
        return value

    def _read(self) -> str:
        from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
        from botocore.exceptions import BotoCoreError, ClientError

        options = {"decrypt": True} if self._kind == "ssm" else {}
        try:
            value = prepare(self._kind).get(self._name, force_fetch=True, **options)
        except GetParameterError as error:
            cause = error.__cause__ or error.__context__
            if isinstance(cause, ClientError):
                raise self._translated(cause) from None
            raise Unavailable(_DEPENDENCY, f"{self._reference} can't be reached") from None
        except BotoCoreError as error:  # no region, no credentials
            problem = f"{self._reference} can't be read: {type(error).__name__}"
            raise Refused(_DEPENDENCY, problem) from None
        key = value.strip() if isinstance(value, str) else ""
        if not _BARE.fullmatch(key):
            raise Refused(_DEPENDENCY, f"{self._reference} holds something else than a bare key")
        return key

    def _translated(self, error: ClientError) -> DependencyError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        problem = f"{self._reference} can't be read: {code}"
        if code in _THROTTLED or status == 429:
            return Throttled(_DEPENDENCY, problem)
        return (Unavailable if status >= 500 else Refused)(_DEPENDENCY, problem)


def _seen(reading: asyncio.Future[str]) -> None:
    """A failure is no news when everybody has given up waiting for it."""
    if not reading.cancelled():
        reading.exception()


_keys: dict[str, StoredKey] = {}
