"""Who may use which namespace, put together, with what may change while the service runs."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from steadyrag.api.access import Access
from steadyrag.domain.access import parse_policy
from steadyrag.resilience.live_config import ConfigPoller
from steadyrag.telemetry import catalogue, metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from steadyrag.settings import Settings


def live_config(
    settings: Settings, *, clock: Callable[[], float] = time.time
) -> ConfigPoller | None:
    """None where the settings name no live configuration. Nothing connects before `warm`."""
    if settings.live_config is None:
        return None
    from steadyrag.adapters.appconfig import AppConfigSource

    return ConfigPoller(
        AppConfigSource(settings.live_config),
        clock=clock,
        on_unusable=partial(metrics.count, catalogue.LIVE_CONFIG_UNUSABLE),
    )


def access(settings: Settings, live: ConfigPoller | None = None) -> Access:
    """What every route that takes a namespace asks. One `live` serves all of a process."""
    stated = settings.key_namespaces
    return Access(None if stated is None else parse_policy(stated), live=live)
