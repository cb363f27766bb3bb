"""Pinecone's filter language: what it accepts, and which documents pass."""

from collections.abc import Container, Mapping
from typing import Any

_ORDER = frozenset({"$gt", "$gte", "$lt", "$lte"})


class BadFilter(Exception):
    """A 400."""


def check_filter(expression: object, *, data_fields: Container[str]) -> None:
    """Raises `BadFilter` for what the vendor refuses: unknown operators, operands of the
    wrong type, comparisons on a field that is declared to be searched."""
    if not isinstance(expression, dict) or not expression:
        raise BadFilter("a filter must be a non-empty object")
    for key, value in expression.items():
        if key in ("$and", "$or"):
            if not isinstance(value, list) or not value:
                raise BadFilter(f"'{key}' takes a list of filters")
            for part in value:
                check_filter(part, data_fields=data_fields)
            continue
        if key.startswith("$"):
            raise BadFilter(f"'{key}' is not a valid logical operator")
        if key in data_fields:
            raise BadFilter(f"'{key}' is a data field and takes no comparison")
        if not isinstance(value, dict) or not value:
            raise BadFilter(f"'{key}' needs an operator")
        for operator, operand in value.items():
            _check_operand(key, operator, operand)


def _check_operand(key: str, operator: str, operand: object) -> None:
    number = isinstance(operand, int | float) and not isinstance(operand, bool)
    listed = operand if isinstance(operand, list) else []
    accepted = {
        "$eq": isinstance(operand, str | int | float | bool),
        "$ne": isinstance(operand, str | int | float | bool),
        "$exists": isinstance(operand, bool),
        "$in": bool(listed) and all(type(x) in (str, int, float) for x in listed),
        "$nin": bool(listed) and all(type(x) in (str, int, float) for x in listed),
        **dict.fromkeys(_ORDER, number),
    }
    if operator not in accepted:
        raise BadFilter(f"'{operator}' is not a valid operator for '{key}'")
    if not accepted[operator]:
        raise BadFilter(f"the operand of '{operator}' for '{key}' has the wrong type")


def matches(expression: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """A field that a document lacks passes nothing but `{"$exists": false}`: the vendor does
    not promise that `$ne` finds it, so nothing should rest on that."""
    for key, value in expression.items():
        if key == "$and":
            passed = all(matches(part, document) for part in value)
        elif key == "$or":
            passed = any(matches(part, document) for part in value)
        else:
            passed = all(_test(op, document.get(key), operand) for op, operand in value.items())
        if not passed:
            return False
    return True


def _test(operator: str, held: Any, operand: Any) -> bool:
    if operator == "$exists":
        return (held is not None) is operand
    if held is None:
        return False
    values = held if isinstance(held, list) else [held]
    match operator:
        case "$eq":
            return any(_same(value, operand) for value in values)
        case "$ne":
            return not any(_same(value, operand) for value in values)
        case "$in":
            return any(_same(value, part) for value in values for part in operand)
        case "$nin":
            return not any(_same(value, part) for value in values for part in operand)
    if isinstance(held, bool) or not isinstance(held, int | float):
        return False
    compared = {
        "$gt": held > operand,
        "$gte": held >= operand,
        "$lt": held < operand,
        "$lte": held <= operand,
    }
    return bool(compared[operator])


def _same(held: object, operand: object) -> bool:
    return isinstance(held, bool) is isinstance(operand, bool) and held == operand
