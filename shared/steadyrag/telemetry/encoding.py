"""JSON for lines and datagrams, of which each search writes three."""

from __future__ import annotations

import json
from typing import Any

import orjson


def encoded(document: Any) -> bytes:
    """`document` as JSON on one line, in UTF-8. What JSON has no form for becomes its `str`;
    numbers that are none become null."""
    try:
        return orjson.dumps(document, default=str)
    except TypeError:  # half of a surrogate pair, a number of more than 64 bits
        return json.dumps(document, default=str, separators=(",", ":")).encode()
