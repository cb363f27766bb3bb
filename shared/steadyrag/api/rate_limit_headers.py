"""Headers that tell callers where they stand, by draft-ietf-httpapi-ratelimit-headers-10 (and -11):

    RateLimit-Policy: "user";q=10;w=60, "key";q=600;w=60
    RateLimit: "user";r=7;t=60

`RateLimit` is about the tighter of the two. `t` is when one more is allowed if none is left;
otherwise it is the window: who spreads `r` over `t` is not refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from steadyrag.resilience.limiter import Decision


class RateLimitHeaders:
    """Middleware that tells callers their limits, on refusals and answers alike."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(event: Message) -> None:
            if event["type"] == "http.response.start":
                decision = scope.get("state", {}).get("rate_limit")
                if decision is not None:
                    MutableHeaders(scope=event).update(headers(decision))
            await send(event)

        await self._app(scope, receive, send_with_headers)


def headers(decision: Decision) -> dict[str, str]:
    """Nothing where no limit applies; `Retry-After` only with a refusal."""
    tightest = decision.tightest
    if tightest is None:
        return {}
    allowance, limit = tightest.allowance, tightest.rule.limit
    seconds = limit.window_s if allowance.remaining else tightest.retry_after_s
    shown = {
        "RateLimit-Policy": ", ".join(
            f'"{rule.name}";q={rule.limit.count};w={rule.limit.window_s}' for rule in decision.rules
        ),
        "RateLimit": f'"{tightest.rule.name}";r={allowance.remaining};t={seconds}',
    }
    if not decision.allowed:
        shown["Retry-After"] = str(tightest.retry_after_s)
    return shown
