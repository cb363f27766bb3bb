"""Smoke tests, put together: over HTTP for people, on a new version for CodeDeploy."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from steadyrag.domain.errors import ConfigError
from steadyrag.smoke_hook import hook_ids, smoke_hook

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from steadyrag.settings import Settings
    from steadyrag.smoke import Reply, Send

log = logging.getLogger(__name__)

REPORT_S = 15.0
"""Of the hook's own time, kept back to tell CodeDeploy how it went, twice if need be."""


def sender(url: str, *, timeout_s: float) -> Send:
    """Requests to the service at `url`, such as `https://….amazonaws.com/v1`."""
    from steadyrag.adapters.http_exchange import exchange, tls_context

    base = url.rstrip("/")
    tls_context()  # is no part of the first request's latency

    async def send(
        method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None
    ) -> Reply:
        return await exchange(
            method, f"{base}{path}", headers=headers, body=body, timeout_s=timeout_s
        )

    return send


def pre_traffic_hook(load: Callable[[], Settings]) -> Callable[[dict[str, Any], Any], None]:
    """A Lambda handler for CodeDeploy's hook before traffic. Settings are loaded within it:
    what is wrong with them has to be told to CodeDeploy as well."""

    def handler(event: dict[str, Any], context: Any) -> None:
        asyncio.run(_hook(event, load, context.get_remaining_time_in_millis() / 1000))

    return handler


async def _hook(event: Mapping[str, Any], load: Callable[[], Settings], left_s: float) -> None:
    from steadyrag.adapters.aws_release import CodeDeploy, LambdaVersion

    ids = hook_ids(event)
    budget_s = max(1.0, left_s - REPORT_S)
    async with aclosing(CodeDeploy()) as deployments:
        try:
            function = load().smoke_function
            if function is None:
                raise ConfigError("STEADYRAG_SMOKE_FUNCTION: is needed by the pre-traffic hook")
        except ConfigError as error:
            log.error("smoke failed", extra={"reason": str(error)})
            await deployments.report(*ids, succeeded=False)
            return
        async with aclosing(LambdaVersion(function, timeout_s=budget_s)) as version:
            await smoke_hook(event, version, deployments, budget_s=budget_s)
