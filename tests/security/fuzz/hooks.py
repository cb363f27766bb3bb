"""Loaded by schemathesis (SCHEMATHESIS_HOOKS). Keeps out of its valid requests the few that a
JSON Schema can't tell from valid ones; the rules are in the fields' descriptions."""

from typing import Any

import schemathesis

from steadyrag.domain.attributes import written
from steadyrag.domain.document_ids import clean_document_id, clean_metadata, clean_url
from steadyrag.domain.errors import InvalidInput
from steadyrag.domain.filters import parse_filter
from steadyrag.domain.objects import Attributes

UNSAYABLE = {
    "id": clean_document_id,
    "url": clean_url,
    "metadata": clean_metadata,
    "filter": parse_filter,
}


def _kept_together(body: dict[str, Any]) -> None:
    """What is said of a document, in bytes."""
    said = {name: body.get(name) for name in ("format", "title", "url")}
    written(Attributes(**said, metadata=clean_metadata(body.get("metadata") or {})))


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    if not (case.meta and case.meta.generation.mode.is_positive):
        return True
    body = case.body if isinstance(case.body, dict) else {}
    given = {**(case.path_parameters or {}), **body}
    try:
        for field, check in UNSAYABLE.items():
            if given.get(field) is not None:
                check(given[field])
        _kept_together(body)
    except InvalidInput:
        return False
    return True
