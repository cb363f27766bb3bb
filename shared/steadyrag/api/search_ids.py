"""Search ids at the door: given out to who asks, and taken back from nobody else."""

from __future__ import annotations

import hashlib
import hmac

from starlette.requests import Request

from steadyrag.api.rate_limit import identify
from steadyrag.domain.errors import NotFound
from steadyrag.domain.search_ids import made_for, sign
from steadyrag.resilience.limiter import Caller


class SearchIds:
    """Binds ids to who sends the request: the authorizer's subject, else the API key, else the
    address. The `user` of a body is no part of it, since a key speaks for all of its users.
    `key` is the same for all who sign and check.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, request: Request, search_id: str) -> str:
        """The id as this caller gets it."""
        return sign(search_id, _sender(request), self._key)

    def check(self, request: Request, search_id: str) -> None:
        """Raises `NotFound` for what this caller was not given; says the same whether or not
        it is somebody else's."""
        if not made_for(search_id, _sender(request), self._key):
            raise NotFound(
                "search_id: no search of this caller has this id; send it as POST /search gave "
                "it, with the API key or the user's token of that request"
            )

    def pseudonym(self, caller: Caller) -> str:
        """The same for the same caller, and nothing that says who it is to whoever does not
        have the key."""
        who = f"{caller.key_id or ''}\n{caller.user or ''}"
        return hmac.new(self._key, who.encode(), hashlib.sha256).hexdigest()[:16]


def _sender(request: Request) -> str:
    caller = identify(request.scope, user=None, trusted_keys=())
    return caller.user or f"key:{caller.key_id}"
