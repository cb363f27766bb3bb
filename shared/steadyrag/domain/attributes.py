"""How what is said of a document travels with its object: JSON in ASCII, small enough for the
metadata that S3 keeps of an object."""

import json
import math
from typing import Any

from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.objects import Attributes
from steadyrag.domain.text import mended

LARGEST_BYTES = 2000
"""S3 keeps 2 kB of user metadata, names included."""


def written(attributes: Attributes) -> str:
    """Raises `InvalidInput` naming `metadata` for more than fits beside an object."""
    said = {
        "format": attributes.format,
        "title": attributes.title,
        "url": attributes.url,
        "metadata": dict(attributes.metadata) or None,
    }
    text = json.dumps({k: v for k, v in said.items() if v is not None}, separators=(",", ":"))
    if len(text) > LARGEST_BYTES:
        raise InvalidInput(
            "metadata",
            f"takes {len(text):,} bytes together with format, title and url, 6 for each Korean "
            f"letter; at most {LARGEST_BYTES:,} can be kept with a document",
        )
    return text


def read(text: str) -> Attributes | None:
    """None for what `written` cannot have written."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    texts = {name: said.get(name) for name in ("format", "title", "url")}
    if not all(text is None or _is_text(text) for text in texts.values()):
        return None
    metadata = said.get("metadata", {})
    if not _is_metadata(metadata):
        return None
    return Attributes(**texts, metadata=metadata)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value == mended(value)


def _is_metadata(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_text(name) and _is_metadata_value(one) for name, one in value.items()
    )


def _is_metadata_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_text, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return _is_text(value) or isinstance(value, int)
