"""Rules of composite alarms: `ALARM(name)`, `OK(name)`, `INSUFFICIENT_DATA(name)`, `TRUE`,
`FALSE`, joined by AND, OR, NOT and parentheses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from steadyrag.monitoring.missing_data import State

type Rule = Callable[[Mapping[str, State]], bool]
"""Whether the rule holds, given states by the alarms' full names."""

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<state>ALARM|OK|INSUFFICIENT_DATA)\s*\(\s*
            (?:"(?P<quoted>[^"]+)"|'(?P<single>[^']+)'|(?P<bare>[^\s()"']+))\s*\)
        |(?P<word>AND|OR|NOT|TRUE|FALSE)\b
        |(?P<sign>[()])
    )""",
    re.VERBOSE,
)


class BadRule(ValueError):
    """A rule that CloudWatch would refuse."""


@lru_cache(maxsize=256)
def parse_rule(text: str) -> tuple[Rule, frozenset[str]]:
    """The rule, and the names of the alarms in it (those given as ARNs by their names). Raises
    `BadRule`."""
    parser = _Parser(text)
    rule = parser.either()
    if parser.next is not None:
        raise BadRule(f"{text!r}: what follows {parser.next!r} is not understood")
    return rule, frozenset(parser.names)


class _Parser:
    """NOT binds tighter than AND, which binds tighter than OR."""

    def __init__(self, text: str) -> None:
        self.names: set[str] = set()
        self._text = text
        self._tokens = self._split(text.strip())
        self.next: str | tuple[str, str] | None = None
        self._advance()

    def either(self) -> Rule:
        found = self._both()
        while self.next == "OR":
            self._advance()
            found = _or(found, self._both())
        return found

    def _both(self) -> Rule:
        found = self._one()
        while self.next == "AND":
            self._advance()
            found = _and(found, self._one())
        return found

    def _one(self) -> Rule:
        token = self.next
        self._advance()
        if token == "NOT":  # noqa: S105 - a word of the rule
            negated = self._one()
            return lambda states: not negated(states)
        if token == "(":  # noqa: S105
            inner = self.either()
            if self.next != ")":
                raise BadRule(f"{self._text!r}: a parenthesis is not closed")
            self._advance()
            return inner
        if token in ("TRUE", "FALSE"):
            return lambda _: token == "TRUE"  # noqa: S105
        if isinstance(token, tuple):
            state, name = token
            self.names.add(name)
            return lambda states: states[name] == state
        raise BadRule(f"{self._text!r}: an alarm's state is missing")

    def _advance(self) -> None:
        self.next = self._tokens.pop(0) if self._tokens else None

    def _split(self, text: str) -> list[str | tuple[str, str]]:
        tokens: list[str | tuple[str, str]] = []
        place = 0
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                raise BadRule(f"{self._text!r}: {text[place:]!r} is not understood")
            place = found.end()
            if found["state"]:
                name = found["quoted"] or found["single"] or found["bare"]
                tokens.append((found["state"], name.rpartition(":alarm:")[2]))
            else:
                tokens.append(found["word"] or found["sign"])
        return tokens


def _and(left: Rule, right: Rule) -> Rule:
    return lambda states: left(states) and right(states)


def _or(left: Rule, right: Rule) -> Rule:
    return lambda states: left(states) or right(states)
