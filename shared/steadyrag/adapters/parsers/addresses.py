"""Where a reader finds a document on the web."""

from urllib.parse import quote


def url_under(base_url: str | None, path: str) -> str | None:
    """`path` below `base_url`, quoted; None without a base."""
    return f"{base_url.rstrip('/')}/{quote(path)}" if base_url else None
