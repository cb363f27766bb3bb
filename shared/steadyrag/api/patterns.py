"""What values look like, as JSON Schema says it: the domain's checks, for readers and tools.

Patterns are ECMA 262's with the flag `u`. They refuse nothing that the checks take; the few
rules that no schema can state (a length in bytes, the depth of a filter) are in descriptions.
"""

from typing import Any

_CONTROL = r"\u0000-\u001f\u007f-\u009f"

TEXT = r"^[^\u0000]*[\p{L}\p{M}\p{N}\p{P}\p{S}][^\u0000]*$"
"""Something that can be seen, and no NUL."""

NOT_BLANK = r"^[^\u0000]*[^\s\u0000\u001c-\u001f\u0085][^\u0000]*$"
BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$"
NAMESPACE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
DOCUMENT_ID = rf"^[^/{_CONTROL}]+(?:/[^/{_CONTROL}]+)*$"
WEB_ADDRESS = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/?#\\\[\]]+(?:[/?#][^\s]*)?$"
METADATA_NAME = r"^[A-Za-z_가-힣][\p{L}\p{N}_가-힣-]{0,63}$"
FIELD_NAME = r"^[^$\u0000][^\u0000]{0,127}$"


def text(longest: int, *, pattern: str = TEXT) -> dict[str, Any]:
    return {"minLength": 1, "maxLength": longest, "pattern": pattern}


_NUMBER = {"type": "number"}
_SCALAR = {
    "anyOf": [
        {"type": "string", "maxLength": 512, "pattern": r"^[^\u0000]*$"},
        _NUMBER,
        {"type": "boolean"},
    ]
}
_MANY = {"type": "array", "items": _SCALAR, "minItems": 1, "maxItems": 64}
_FILTERS = {
    "type": "array",
    "items": {"allOf": [{"$ref": "#/components/schemas/Filter"}, {"minProperties": 1}]},
    "minItems": 1,
}
FILTER: dict[str, Any] = {
    "title": "Filter",
    "description": "Conditions on metadata, joined by `and`; nested 5 levels deep, 64 in all.",
    "type": "object",
    "examples": [{"year": {"$gte": 2024}, "$or": [{"lang": "ko"}, {"tag": {"$in": ["a"]}}]}],
    "properties": {"$and": _FILTERS, "$or": _FILTERS},
    "patternProperties": {
        FIELD_NAME: {
            "anyOf": [
                *_SCALAR["anyOf"],
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": False,
                    "properties": {
                        **dict.fromkeys(("$eq", "$ne"), _SCALAR),
                        **dict.fromkeys(("$in", "$nin"), _MANY),
                        **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), _NUMBER),
                        "$exists": {"type": "boolean"},
                    },
                },
            ]
        }
    },
    "additionalProperties": False,
}
"""`domain.filters`, as a component of the schema."""

METADATA: dict[str, Any] = {
    "type": "object",
    "maxProperties": 32,
    "patternProperties": {
        METADATA_NAME: {
            "anyOf": [
                {"type": "string", **text(300)},
                {"type": "number"},
                {"type": "boolean"},
                {"type": "array", "items": {"type": "string", **text(300)}},
            ]
        }
    },
    "additionalProperties": False,
}
