"""Rate limits as settings write them, and which of them apply to a request.

    10/minute                       ten requests in any sixty seconds
    off                             no limit
    user:/documents=2/minute        for one end user on one route
    key:/documents=60/minute        for one API key on one route
    key:a1b2c3=6000/minute          for this API key, on every route
    key:a1b2c3:/documents=off       for this API key on one route

The closest override wins. A limit of a route has a window of its own; the others count all
routes together.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

type Who = Literal["user", "key"]

SECONDS: Mapping[str, int] = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
MAX_COUNT = 1_000_000
MAX_OVERRIDES = 100

_LIMIT = re.compile(r"(?P<count>[0-9]{1,9}) ?/ ?(?P<unit>[a-z]+)")
_TARGET = re.compile(
    r"(?:user:(?P<user_route>/[!-~]*)"
    r"|key:(?P<id>[A-Za-z0-9_-]{1,128})?(?:(?(id):)(?P<key_route>/[!-~]*))?)"
)


@dataclass(frozen=True, slots=True)
class Limit:
    """`count` requests in any `window_s` seconds."""

    count: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit that applies. `name` is what headers call it and what its windows belong to."""

    name: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class Override:
    """A limit for some: of one API key (`key_id`), on one route, or both. None as the limit
    means that there is none."""

    who: Who
    key_id: str | None
    route: str | None
    limit: Limit | None


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits in force. None is no limit."""

    user: Limit | None = Limit(10, 60)
    key: Limit | None = Limit(600, 60)
    overrides: tuple[Override, ...] = field(default=())

    def for_user(self, route: str) -> Rule | None:
        """What limits one end user on this route."""
        return self._rule("user", None, route, self.user)

    def for_key(self, key_id: str, route: str) -> Rule | None:
        """What limits this API key on this route."""
        return self._rule("key", key_id, route, self.key)

    def _rule(self, who: Who, key_id: str | None, route: str, usual: Limit | None) -> Rule | None:
        fitting = [
            override
            for override in self.overrides
            if override.who == who
            and override.key_id in (None, key_id)
            and override.route in (None, route)
        ]
        if not fitting:
            return Rule(who, usual) if usual else None
        closest = max(fitting, key=lambda o: (o.key_id is not None, o.route is not None))
        if closest.limit is None:
            return None
        return Rule(f"{who}:{closest.route}" if closest.route else who, closest.limit)


def parse_limit(text: str) -> Limit | None:
    """`10/minute` as a limit, `off` as None; raises `ValueError` that says what is wrong."""
    text = text.strip().lower()
    if text == "off":
        return None
    parts = _LIMIT.fullmatch(text)
    if parts is None:
        raise ValueError("must be off or a count and a time, such as 10/minute")
    count, unit = int(parts["count"]), parts["unit"]
    if unit not in SECONDS:
        raise ValueError(f"must be per {', '.join(SECONDS)}, not per {unit}")
    if not 1 <= count <= MAX_COUNT:
        raise ValueError(f"must allow from 1 to {MAX_COUNT} requests (off: no limit)")
    return Limit(count, SECONDS[unit])


def parse_overrides(text: str) -> tuple[Override, ...]:
    """Overrides separated by commas; raises `ValueError` that names the wrong one."""
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if len(entries) > MAX_OVERRIDES:
        raise ValueError(f"has {len(entries)} overrides; {MAX_OVERRIDES} at most")
    overrides = [_override(entry) for entry in entries]
    targets = [(o.who, o.key_id, o.route) for o in overrides]
    for entry, target in zip(entries, targets, strict=True):
        if targets.count(target) > 1:
            raise ValueError(f"{entry.partition('=')[0].strip()!r} is there twice")
    return tuple(overrides)


def _override(entry: str) -> Override:
    target, _, limit = (part.strip() for part in entry.rpartition("="))
    parts = _TARGET.fullmatch(target)
    if parts is None or target == "key:":
        raise ValueError(
            f"{entry!r} must be user:/route, key:/route, key:id or key:id:/route, then = and "
            "a limit such as 60/minute"
        )
    try:
        parsed = parse_limit(limit)
    except ValueError as error:
        raise ValueError(f"{entry!r}: {error}") from None
    who: Who = "user" if parts["user_route"] else "key"
    return Override(who, parts["id"], parts["user_route"] or parts["key_route"], parsed)
