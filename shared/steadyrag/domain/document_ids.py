"""What clients may call a document, and say of it."""

import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.models import Metadata, MetadataValue
from steadyrag.domain.text import clean_text

LONGEST_ID_BYTES = 900
"""S3 takes 1,024 for a key, which the namespace is part of."""
LONGEST_TITLE = 300
LONGEST_URL = 1000
MOST_METADATA = 32

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NAME = re.compile(r"[A-Za-z_가-힣][\w가-힣-]{0,63}")


def clean_document_id(value: str, field: str = "id") -> str:
    """`value` in NFC. Raises `InvalidInput` for what can't name an object or stand in a path:
    control characters, percent signs, empty parts, `.` and `..` between slashes."""
    cleaned = clean_text(value, field, longest=LONGEST_ID_BYTES)
    if cleaned != unicodedata.normalize("NFC", value):
        raise InvalidInput(field, "must not begin or end with white space")
    if len(cleaned.encode()) > LONGEST_ID_BYTES:
        raise InvalidInput(field, f"takes more than {LONGEST_ID_BYTES} bytes in UTF-8")
    if _CONTROL.search(cleaned):
        raise InvalidInput(field, "holds a control character")
    if "%" in cleaned:
        raise InvalidInput(field, "must not hold '%', which gateways decode differently")
    if {"", ".", ".."} & set(cleaned.split("/")):
        raise InvalidInput(field, "must not hold '.', '..' or nothing between slashes")
    return cleaned


def clean_url(value: str, field: str = "url") -> str:
    """An address that a reader may be sent to. It is never fetched."""
    cleaned = clean_text(value, field, longest=LONGEST_URL)
    try:
        parts = urlsplit(cleaned)
    except ValueError:
        raise InvalidInput(field, "is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidInput(field, "must be an http:// or https:// address")
    if any(c.isspace() for c in cleaned) or _CONTROL.search(cleaned):
        raise InvalidInput(field, "must not hold white space")
    return cleaned


def link(url: str | None) -> str | None:
    """`url` where readers may be sent to it; None for any other, whoever wrote it."""
    try:
        return None if url is None else clean_url(url)
    except InvalidInput:
        return None


def clean_metadata(value: Mapping[str, Any], field: str = "metadata") -> Metadata:
    """What filters can use: texts, numbers, true and false, lists of texts."""
    if len(value) > MOST_METADATA:
        raise InvalidInput(field, f"has {len(value)} entries; at most {MOST_METADATA} are kept")
    return {_name(name, field): _value(one, f"{field}.{name}") for name, one in value.items()}


def _name(name: str, field: str) -> str:
    cleaned = unicodedata.normalize("NFC", name)
    if not _NAME.fullmatch(cleaned):
        shown = name.encode("ascii", "backslashreplace").decode()[:64]
        raise InvalidInput(
            f"{field}.{shown}", "must be named by 1 to 64 letters, digits, '_' or '-'"
        )
    return cleaned


def _value(value: Any, field: str) -> MetadataValue:
    if isinstance(value, list):
        return [clean_text(_text(one, field), field, longest=LONGEST_TITLE) for one in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 10**15:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return clean_text(_text(value, field), field, longest=LONGEST_TITLE)


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a text, a number, true, false or a list of texts")
    return value
