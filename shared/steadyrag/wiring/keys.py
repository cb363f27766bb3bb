"""The secret of those who serve, from the settings or kept on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steadyrag.settings import Settings


def set_key(settings: Settings) -> bytes | None:
    """The one that the settings have."""
    key = settings.search_id_key
    return None if key is None else key.get_secret_value().encode()


def kept_key(settings: Settings) -> bytes:
    """The one that the data directory keeps."""
    from steadyrag.adapters.local import kept_key

    return kept_key.kept_key(settings.data_dir / "search-id.key")
