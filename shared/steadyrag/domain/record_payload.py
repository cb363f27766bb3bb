"""Records as text, for whatever keeps them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from steadyrag.domain.models import CacheInfo, Stage, Usage
from steadyrag.domain.records import Feedback, Result, SearchRecord

VERSION = 1
"""Of the form. What has another one is not read."""


def search_text(record: SearchRecord) -> str:
    raw = _plain(record) | {
        "degraded": list(record.degraded),
        "cache": _plain(record.cache),
        "results": [_plain(result) for result in record.results],
        "usage": _plain(record.usage),
        "stages": [_plain(stage) | {"facts": dict(stage.facts)} for stage in record.stages],
    }
    return json.dumps({"version": VERSION, "search": raw})


def read_search(text: str) -> SearchRecord | None:
    """None for another version, or for what is no record."""
    try:
        raw = _of_this_version(text)["search"]
        return SearchRecord(
            **raw
            | {
                "degraded": tuple(raw["degraded"]),
                "cache": CacheInfo(**raw["cache"]),
                "results": tuple(Result(**result) for result in raw["results"]),
                "usage": Usage(**raw["usage"]),
                "stages": tuple(Stage(**stage) for stage in raw["stages"]),
            }
        )
    except (ValueError, KeyError, TypeError):
        return None


def feedback_text(said: Sequence[Feedback]) -> str:
    return json.dumps({"version": VERSION, "feedback": [_plain(one) for one in said]})


def read_feedback(text: str | None) -> tuple[Feedback, ...]:
    """Nothing for None, for another version, and for what is no feedback."""
    try:
        return tuple(Feedback(**one) for one in _of_this_version(text or "")["feedback"])
    except (ValueError, KeyError, TypeError):
        return ()


def _of_this_version(text: str) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(text)
    if raw["version"] != VERSION:
        raise ValueError("another version")
    return raw


def _plain(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
