"""Rate limits at the door: who is asking, and 429."""

import ipaddress
from collections.abc import Collection
from typing import Any

from starlette.requests import Request
from starlette.types import Scope

from steadyrag.domain.errors import CallerError
from steadyrag.domain.live_config import LiveConfig
from steadyrag.resilience.limiter import Caller, RateLimiter
from steadyrag.resilience.live_config import ConfigPoller
from steadyrag.telemetry import catalogue, metrics

EVERY_KEY = "*"
NOTHING_LIVE = LiveConfig()


class RateLimited(CallerError):
    """Too many requests for now; the headers say until when."""

    status = 429


class RateLimit:
    """What a route asks before it does anything costly.

    `trusted_keys` are the ids of the API keys whose `user` field is believed (`*`: all of
    them). A `limiter` of None limits nothing. What `live` says of keys and overrides takes the
    place of what was given.
    """

    def __init__(
        self,
        limiter: RateLimiter | None,
        *,
        trusted_keys: Collection[str] = (),
        live: ConfigPoller | None = None,
    ) -> None:
        self._limiter = limiter
        self._trusted_keys = trusted_keys
        self._live = live

    async def enforce(self, request: Request, *, user: str | None = None) -> Caller:
        """Counts the request and says whose it is; raises `RateLimited` when it is one too
        many. `user` is the field of the body. `RateLimitHeaders` shows the outcome on whatever
        is answered."""
        live = self._live.current if self._live else NOTHING_LIVE
        trusted = self._trusted_keys if live.trusted_keys is None else live.trusted_keys
        caller = identify(request.scope, user=user, trusted_keys=trusted)
        if self._limiter is None:
            return caller
        decision = await self._limiter.check(
            caller, route=_route(request.scope), overrides=live.rate_limit_overrides
        )
        request.scope.setdefault("state", {})["rate_limit"] = decision
        if not decision.allowed and (worst := decision.tightest):
            metrics.count(catalogue.RATE_LIMITED)
            limit = worst.rule.limit
            raise RateLimited(
                f"more than {limit.count} requests in {limit.window_s} s; "
                f"try again in {worst.retry_after_s} s"
            )
        return caller


def identify(scope: Scope, *, user: str | None, trusted_keys: Collection[str]) -> Caller:
    """Who is asking, from what API Gateway vouches for and never from a header.

    The end user is the authorizer's subject, or the `user` that a trusted key names. Where
    there is neither, the API key alone is the caller, and without a key the source address.
    """
    context = _gateway_context(scope)
    gateway_identity = context.get("identity") or {}
    key_id = api_key_id(scope)
    subject = _subject(context.get("authorizer"))
    if subject is None and user and key_id and _trusted(key_id, trusted_keys):
        # Ids of one key's users mean nothing to another key.
        subject = f"user:{key_id}:{user}"
    if subject is None and key_id is None:
        peer = scope.get("client")
        address = _text(gateway_identity.get("sourceIp")) or (peer[0] if peer else "unknown")
        subject = f"ip:{_network(address)}"
    return Caller(user=subject, key_id=key_id)


def api_key_id(scope: Scope) -> str | None:
    """The id of the API key that API Gateway has checked; None where it has checked none."""
    return _text((_gateway_context(scope).get("identity") or {}).get("apiKeyId"))


def _gateway_context(scope: Scope) -> dict[str, Any]:
    return (scope.get("aws.event") or {}).get("requestContext") or {}


def _trusted(key_id: str, trusted_keys: Collection[str]) -> bool:
    return EVERY_KEY in trusted_keys or key_id in trusted_keys


def _subject(authorizer: Any) -> str | None:
    """`claims.sub` of a Cognito authorizer, `principalId` of a Lambda authorizer."""
    if not isinstance(authorizer, dict):
        return None
    claims = authorizer.get("claims")
    subject = claims.get("sub") if isinstance(claims, dict) else None
    found = _text(subject) or _text(authorizer.get("principalId"))
    return None if found is None else f"sub:{found}"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _network(address: str) -> str:
    """An IPv4 address, or the /64 that one subscriber has to himself in IPv6."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _route(scope: Scope) -> str:
    """The route's template (`/documents/{id}`), so that ids share a limit."""
    return str(getattr(scope.get("route"), "path", None) or scope.get("path", "/"))
