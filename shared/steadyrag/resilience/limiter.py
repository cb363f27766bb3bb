"""How often a caller may ask, counted once for the whole fleet.

The windows live in the nearest shared store that answers. A denial is remembered here until
it is over, so that a flood does not hammer one item. While no store answers, a window of this
process alone stands in: a limit that is too generous for a while, instead of an outage.
"""

import hashlib
import hmac
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cachetools import LRUCache

from steadyrag.domain import sliding_window
from steadyrag.domain.limits import Override, Rule, Rules
from steadyrag.domain.ports import Allowance, SharedStore
from steadyrag.domain.sliding_window import Window
from steadyrag.resilience.breaker import Clock
from steadyrag.resilience.keys import rate_key
from steadyrag.resilience.nearest import nearest

log = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Callers whose denials, and whose stand-in windows, a process keeps in mind."""

LOG_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an end user, an API key, or both. Whatever stands for the user is opaque."""

    user: str | None = None
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What one rule said of the request."""

    rule: Rule
    allowance: Allowance

    @property
    def retry_after_s(self) -> int:
        """Whole seconds until one more is allowed, at least 1."""
        return max(1, math.ceil(self.allowance.reset_s))


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to serve a request: the rules that fit it, and what those that were asked said.
    No rule is no limit."""

    rules: tuple[Rule, ...] = ()
    applied: tuple[Applied, ...] = ()

    @property
    def allowed(self) -> bool:
        return all(one.allowance.allowed for one in self.applied)

    @property
    def tightest(self) -> Applied | None:
        """The rule that refuses, or that leaves the least."""
        return min(
            self.applied,
            key=lambda one: (
                one.allowance.allowed,
                one.allowance.remaining,
                -one.allowance.reset_s,
            ),
            default=None,
        )


def ignore_fallback(store: str) -> None:
    """For those who do not want to know."""


class RateLimiter:
    """Counts requests per caller. Safe for concurrent use on one loop.

    Stores have their own time limits and breakers (`GuardedStore`). `on_fallback` is called
    with the name of the nearest whenever a limit was counted here instead. Callers are kept
    under HMACs: `hash_key` is the same for the whole fleet.
    """

    def __init__(
        self,
        stores: Sequence[SharedStore] = (),
        *,
        rules: Rules,
        clock: Clock = time.time,
        on_fallback: Callable[[str], None] = ignore_fallback,
        hash_key: bytes = b"steadyrag",
    ) -> None:
        self._stores = stores
        self._rules = rules
        self._clock = clock
        self._on_fallback = on_fallback
        self._hash_key = hash_key
        self._denied: LRUCache[str, float] = LRUCache(REMEMBERED)
        self._windows: LRUCache[str, Window] = LRUCache(REMEMBERED)
        self._logged_at = float("-inf")

    async def check(
        self, caller: Caller, *, route: str, overrides: tuple[Override, ...] | None = None
    ) -> Decision:
        """Counts one request against every rule that fits; `overrides` take the place of the
        rules' own. Never raises.

        The end user's limit comes first and a refusal ends it there, so that one user's
        flood does not use up the allowance of the key that many share.
        """
        rulebook = self._rules if overrides is None else replace(self._rules, overrides=overrides)
        fitting = self._fitting(rulebook, caller, route)
        rules = tuple(rule for rule, _ in fitting)
        for rule, key in fitting:
            if denied := self._remembered(rule, key):
                return Decision(rules, (denied,))
        applied: list[Applied] = []
        for rule, key in fitting:
            applied.append(Applied(rule, await self._take(rule, key)))
            if not applied[-1].allowance.allowed:
                break
        return Decision(rules, tuple(applied))

    def _fitting(self, rules: Rules, caller: Caller, route: str) -> list[tuple[Rule, str]]:
        """The rules for this request, each with its window's key."""
        asked: list[tuple[Rule | None, str]] = []
        if caller.user is not None:
            asked.append((rules.for_user(route), caller.user))
        if caller.key_id is not None:
            asked.append((rules.for_key(caller.key_id, route), caller.key_id))
        return [(rule, self._key(rule, identity)) for rule, identity in asked if rule]

    def _remembered(self, rule: Rule, key: str) -> Applied | None:
        now = self._clock()
        until = self._denied.get(key, now)
        if until <= now:
            return None
        return Applied(rule, Allowance(False, rule.limit.count, 0, until - now))

    async def _take(self, rule: Rule, key: str) -> Allowance:
        allowance = await self._shared(key, rule)
        if allowance is None:
            allowance = self._alone(key, rule)
        elif allowance.allowed:
            self._alone(key, rule)  # so that losing the store does not start the count anew
        if not allowance.allowed:
            # No window looks back further; a store with a wrong clock might claim so.
            wait_s = min(allowance.reset_s, 2 * rule.limit.window_s)
            self._denied[key] = self._clock() + wait_s
        return allowance

    async def _shared(self, key: str, rule: Rule) -> Allowance | None:
        """A store's verdict; None when there is no store, or none answers."""
        if not self._stores:
            return None
        limit = rule.limit
        answered = await nearest(
            self._stores,
            lambda store: store.take(key, limit=limit.count, window_s=limit.window_s),
        )
        if answered is None:
            self._stand_in(self._stores[0].name)
            return None
        return answered[1]

    def _alone(self, key: str, rule: Rule) -> Allowance:
        window, allowance = sliding_window.take(
            self._windows.get(key),
            limit=rule.limit.count,
            now_s=self._clock(),
            window_s=rule.limit.window_s,
        )
        self._windows[key] = window
        return allowance

    def _stand_in(self, store: str) -> None:
        self._on_fallback(store)
        now = self._clock()
        if abs(now - self._logged_at) >= LOG_EVERY_S:
            self._logged_at = now
            log.warning(
                "rate limits are counted by each process alone", extra={"dependency": store}
            )

    def _key(self, rule: Rule, identity: str) -> str:
        """ASCII, and nobody's name can be read from it, though who knows the hash key can try
        out short ones, such as addresses. The window's length is part of it,
        because windows of different lengths do not compare."""
        told = f"{rule.name}\0{rule.limit.window_s}\0{identity}".encode("utf-8", "surrogatepass")
        return rate_key(hmac.new(self._hash_key, told, hashlib.sha256).hexdigest()[:40])
