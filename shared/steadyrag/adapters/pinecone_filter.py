"""Our filters in Pinecone's filter language.

They are alike but for three things. Pinecone's `$in` takes no booleans. What `$ne` and `$nin`
say of a document without the field is not promised, where ours pass it. And metadata carries
a prefix here, so that metadata called `title` cannot hide the chunk's own, which a filter on
`title` means.
"""

from collections.abc import Mapping
from typing import Any

from steadyrag.domain.filters import Filter

PREFIX = "meta_"
OWN_FIELDS = frozenset({"document_id", "title", "url"})
"""What a filter reads from the chunk itself."""

type Expression = dict[str, Any]


def to_pinecone(wanted: Filter) -> Expression | None:
    """The filter with one operator a clause, or None for no restriction."""
    return _all(_clauses(wanted.expression)) if wanted else None


def _clauses(expression: Mapping[str, Any]) -> list[Expression]:
    clauses: list[Expression] = []
    for key, value in expression.items():
        if key == "$and":
            clauses.extend(_all(_clauses(part)) for part in value)
        elif key == "$or":
            clauses.append(_any([_all(_clauses(part)) for part in value]))
        else:
            field = key if key in OWN_FIELDS else f"{PREFIX}{key}"
            clauses.extend(_leaf(field, operator, operand) for operator, operand in value.items())
    return clauses


def _leaf(field: str, operator: str, operand: Any) -> Expression:
    absent: Expression = {field: {"$exists": False}}
    match operator:
        case "$ne":
            return _any([{field: {"$ne": operand}}, absent])
        case "$in":
            return _any(_members(field, operand, one="$eq", many="$in"))
        case "$nin":
            return _any([_all(_members(field, operand, one="$ne", many="$nin")), absent])
    return {field: {operator: operand}}


def _members(field: str, values: list[Any], *, one: str, many: str) -> list[Expression]:
    others = [value for value in values if not isinstance(value, bool)]
    clauses: list[Expression] = [
        {field: {one: value}} for value in (True, False) if any(value is held for held in values)
    ]
    return [{field: {many: others}}, *clauses] if others else clauses


def _all(clauses: list[Expression]) -> Expression:
    return clauses[0] if len(clauses) == 1 else {"$and": clauses}


def _any(clauses: list[Expression]) -> Expression:
    return clauses[0] if len(clauses) == 1 else {"$or": clauses}
