"""Signing in to ElastiCache as an IAM identity: a short-lived token instead of a password.

The token is a presigned request of Signature Version 4 without its scheme, which ElastiCache
verifies: https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth-iam.html. It is asked for
when a connection is opened. ElastiCache closes connections that are 12 hours old; the client
then opens another one, with another token.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError

from steadyrag.domain.errors import DependencyError, Refused, Unavailable

VALID_S = 900
"""How long ElastiCache accepts a token."""
KEEP_S = 600.0
"""How long we use one: less, so that it is still good when a slow connection presents it."""

_DEPENDENCY = "valkey"


class IamCredentials(CredentialProvider):
    """The user and a token for it, signed with the credentials that botocore finds.

    `user` is the id of an ElastiCache user, which must also be its name; `cache` the name of
    the serverless cache. Time is wall-clock, so that a token ages while its environment is
    frozen. Signing happens in a thread: credentials may have to be fetched first.
    """

    def __init__(self, user: str, cache: str, *, clock: Callable[[], float] = time.time) -> None:
        self._user = user
        self._cache = cache.lower()  # ElastiCache knows names in lower case only
        self._clock = clock
        self._session: Any = None
        self._token: str | None = None
        self._signed_at = 0.0
        self._signing = threading.Lock()

    async def warm(self) -> None:
        """Imports botocore, finds the credentials and signs a token, none of which a call has
        time for. Raises `DependencyError`."""
        await asyncio.to_thread(self._signed)

    def expire(self) -> None:
        """The next connection gets a new token: this one was refused, or comes from a
        snapshot."""
        self._token = None

    def get_credentials(self) -> tuple[str, str]:
        """Raises `AuthenticationError` with the `DependencyError` as its cause: the client
        library cleans up after its own errors only."""
        try:
            return self._user, self._signed()
        except DependencyError as error:
            raise AuthenticationError("no token") from error

    async def get_credentials_async(self) -> tuple[str, str]:
        token = self._fresh()
        if token is not None:
            return self._user, token
        return await asyncio.to_thread(self.get_credentials)

    def _fresh(self) -> str | None:
        return self._token if 0 <= self._clock() - self._signed_at < KEEP_S else None

    def _signed(self) -> str:
        with self._signing:
            token = self._fresh()
            if token is None:
                signed_at = self._clock()
                token = self._sign()
                self._token, self._signed_at = token, signed_at
            return token

    def _sign(self) -> str:
        import botocore.session
        from botocore.auth import SigV4QueryAuth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import BotoCoreError

        question = {"Action": "connect", "User": self._user, "ResourceType": "ServerlessCache"}
        try:
            if self._session is None:
                self._session = botocore.session.get_session()
            region = self._session.get_config_variable("region")
            found = self._session.get_credentials()
            if not region:
                raise Refused(_DEPENDENCY, "needs a region to sign in: set AWS_DEFAULT_REGION")
            if found is None:
                raise Refused(_DEPENDENCY, "needs AWS credentials to sign in, and there are none")
            request = AWSRequest("GET", f"https://{self._cache}/?{urlencode(question)}")
            SigV4QueryAuth(
                found.get_frozen_credentials(), "elasticache", region, expires=VALID_S
            ).add_auth(request)
        except BotoCoreError as error:
            problem = f"no token can be signed ({type(error).__name__})"
            raise Unavailable(_DEPENDENCY, problem) from error
        return str(request.url).removeprefix("https://")
