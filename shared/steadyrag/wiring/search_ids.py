"""The key of search ids, from the settings or kept on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadyrag.api.search_ids import SearchIds
from steadyrag.wiring.keys import kept_key, set_key

if TYPE_CHECKING:
    from steadyrag.settings import Settings


def search_ids(settings: Settings) -> SearchIds:
    """One for all routes of a process. Where no key is set, the data directory keeps one, so
    that feedback on an answer works after a restart."""
    return SearchIds(set_key(settings) or kept_key(settings))
