"""Metadata filters: one small language, checked here, understood by every index.

A filter is a JSON object. `{"year": 2024}` means equality; operators are written as in
`{"year": {"$gte": 2020, "$lt": 2025}, "$or": [{"lang": "ko"}, {"tag": {"$in": ["a"]}}]}`.
Entries of one object are joined by "and". On a list value, equality and `$in` ask whether
any element matches. Strings are compared in NFC, the form in which documents are kept.
"""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steadyrag.domain.errors import InvalidInput

MAX_DEPTH = 5
MAX_CLAUSES = 64
MAX_STRING = 512

_SCALARS = (str, int, float, bool)
_COMPARE = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_LIST = frozenset({"$in", "$nin"})
_OPERATORS = _COMPARE.keys() | _LIST | {"$eq", "$ne", "$exists"}
_JUNCTIONS = frozenset({"$and", "$or"})


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked filter. `expression` is canonical: every leaf is `{field: {operator: value}}`,
    which is also what Pinecone takes. Empty means no restriction."""

    expression: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.expression)

    def matches(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a chunk with this metadata passes."""
        return _matches(self.expression, metadata)


def parse_filter(raw: object, path: str = "filter") -> Filter:
    """Checks and canonicalises a filter; raises `InvalidInput` naming the offending part."""
    budget = [MAX_CLAUSES]
    return Filter(_parse(raw, path, 1, budget))


def _parse(raw: object, path: str, depth: int, budget: list[int]) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise InvalidInput(path, 'must be an object such as {"year": 2024}')
    if depth > MAX_DEPTH:
        raise InvalidInput(path, f"is nested deeper than {MAX_DEPTH} levels")
    parsed: dict[str, Any] = {}
    for key, value in raw.items():
        at = f"{path}.{key}"
        budget[0] -= 1
        if budget[0] < 0:
            raise InvalidInput(path, f"has more than {MAX_CLAUSES} conditions")
        if key in _JUNCTIONS:
            if not isinstance(value, list) or not value:
                raise InvalidInput(at, "must be a list of filters that is not empty")
            parsed[key] = [
                _parse(part, f"{at}[{i}]", depth + 1, budget) for i, part in enumerate(value)
            ]
            if not all(parsed[key]):
                raise InvalidInput(at, "must not hold an empty filter")
        elif not isinstance(key, str) or key.startswith("$") or not key or len(key) > 128:
            known = ", ".join(sorted(_JUNCTIONS))
            raise InvalidInput(at, f"is not a field name; {known} are the operators allowed here")
        else:
            parsed[_text(key, at)] = _condition(value, at)
    return parsed


def _condition(value: object, at: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {"$eq": _scalar(value, at)}
    if not value:
        raise InvalidInput(at, "must not be an empty object")
    return {
        operator: _operand(operator, part, f"{at}.{operator}") for operator, part in value.items()
    }


def _operand(name: str, value: object, at: str) -> Any:
    if name not in _OPERATORS:
        raise InvalidInput(at, f"is not an operator; use one of {', '.join(sorted(_OPERATORS))}")
    if name == "$exists":
        if not isinstance(value, bool):
            raise InvalidInput(at, "must be true or false")
        return value
    if name in _LIST:
        if not isinstance(value, list) or not 0 < len(value) <= MAX_CLAUSES:
            raise InvalidInput(at, f"must be a list of 1 to {MAX_CLAUSES} values")
        return [_scalar(part, f"{at}[{i}]") for i, part in enumerate(value)]
    if name in _COMPARE and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidInput(at, "must be a number")
    return _scalar(value, at)


def _scalar(value: object, at: str) -> Any:
    if not isinstance(value, _SCALARS):
        raise InvalidInput(at, "must be a string, a number, true or false")
    if isinstance(value, str):
        if len(value) > MAX_STRING:
            raise InvalidInput(at, f"is longer than {MAX_STRING} characters")
        return _text(value, at)
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        raise InvalidInput(at, "must be a finite number")
    return value


def _text(value: str, at: str) -> str:
    if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
        raise InvalidInput(at, "holds a character that is not text")
    return unicodedata.normalize("NFC", value)


def _matches(expression: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    for key, value in expression.items():
        if key == "$and":
            passed = all(_matches(part, metadata) for part in value)
        elif key == "$or":
            passed = any(_matches(part, metadata) for part in value)
        else:
            passed = all(_test(op, metadata.get(key), operand) for op, operand in value.items())
        if not passed:
            return False
    return True


def _test(name: str, held: Any, operand: Any) -> bool:
    match name:
        case "$eq":
            return _equal(held, operand)
        case "$ne":
            return not _equal(held, operand)
        case "$in":
            return any(_equal(held, part) for part in operand)
        case "$nin":
            return not any(_equal(held, part) for part in operand)
        case "$exists":
            return (held is not None) is operand
    if isinstance(held, bool) or not isinstance(held, int | float):
        return False
    return bool(_COMPARE[name](held, operand))


def _equal(held: Any, operand: Any) -> bool:
    if isinstance(held, list | tuple):
        return any(_equal(part, operand) for part in held)
    return isinstance(held, bool) is isinstance(operand, bool) and bool(held == operand)
