"""The key of search ids, from the settings or kept on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steadyrag.api.search_ids import SearchIds

if TYPE_CHECKING:
    from steadyrag.settings import Settings


def search_ids(settings: Settings) -> SearchIds:
    """One for all routes of a process. Where no key is set, the data directory keeps one, so
    that feedback on an answer works after a restart."""
    if settings.search_id_key is not None:
        return SearchIds(settings.search_id_key.get_secret_value().encode())
    from steadyrag.adapters.local.kept_key import kept_key

    return SearchIds(kept_key(settings.data_dir / "search-id.key"))
