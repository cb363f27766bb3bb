"""The circuit breakers of a whole fleet: one for each dependency, shared by everyone.

What every environment knows is one map in the shared store. It arrives with the batch that a
request reads anyway (`absorb`), so a healthy call costs no round trip of its own. A failure
is one write; so is the first success after failures that are known of. While the nearest
store does not answer, the map lives in the next one; while none does, each process counts for
itself.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steadyrag.domain.ports import SharedStore
from steadyrag.resilience import circuit_fields
from steadyrag.resilience.breaker import (
    CircuitOpen,
    Clock,
    LocalBreaker,
    OnTransition,
    State,
    Verdict,
    ignore_refusal,
    ignore_transition,
    verdict,
)
from steadyrag.resilience.circuit_fields import CLOSED, Circuit, Fields
from steadyrag.resilience.keys import lease_key
from steadyrag.resilience.nearest import nearest

log = logging.getLogger(__name__)

BREAKERS_KEY = "sr:breakers"
KEPT_S = 86_400.0
"""How long the map outlives its last change."""

IN_DOUBT_S = 2.0
"""A reading that arrives this much later than our last news was made after it, whatever its
version says: a map that expired begins at version 0 again."""

BESIDE_A_PROBE_S = 1.0
"""How long a process that was refused the probe does not ask for it again."""


@dataclass(frozen=True, slots=True)
class _Probe:
    """The right to call while half open. `owner` is None where only this process granted it."""

    owner: str | None


class Breakers:
    """Refuses calls to dependencies that are down. Safe for concurrent use on one loop.

    `on_transition` is called in the process that caused the transition; `on_refused` for every
    call that the vendor would not serve (credentials, quota), which never opens a circuit.
    """

    def __init__(
        self,
        stores: Sequence[SharedStore] = (),
        *,
        clock: Clock = time.time,
        failures: int = 5,
        open_s: float = 60.0,
        probe_s: float = 10.0,
        stale_s: float = 600.0,
        on_transition: OnTransition = ignore_transition,
        on_refused: Callable[[str], None] = ignore_refusal,
    ) -> None:
        self._stores = stores
        self._home: str | None = None
        self._carried: dict[str, float] = {}
        self._clock = clock
        self._limit = failures
        self._open_s = open_s
        self._probe_s = probe_s
        self._stale_s = stale_s
        self._on_transition = on_transition
        self._on_refused = on_refused
        self._fields: Fields = {}
        self._learnt_at = float("-inf")
        self._local: dict[str, LocalBreaker] = {}
        self._no_probe_until: dict[str, float] = {}

    def absorb(
        self, fields: Fields, *, held_in: str | None = None, read_at: float | None = None
    ) -> None:
        """Takes in the shared map as a batch brought it, unless we know of a later one: the
        batch was asked for at `read_at`, and what has been waiting since is no news.

        `held_in` is the store the batch came from. Another store than the last one holds
        another map; what was open by the last one stays so here until its time is over.
        """
        older = read_at is not None and read_at <= self._learnt_at
        if held_in is not None and held_in != self._home:
            if not older:
                self._move(held_in, fields)
            return
        behind = circuit_fields.version(fields) < circuit_fields.version(self._fields)
        if behind and (older or abs(self._clock() - self._learnt_at) < IN_DOUBT_S):
            return
        self._learn(fields)

    def states(self) -> Mapping[str, State]:
        """Every dependency that has failed lately, for readiness and metrics."""
        known = circuit_fields.names(self._fields) | self._local.keys() | self._carried.keys()
        return {name: self.state(name) for name in sorted(known)}

    def state(self, dependency: str) -> State:
        shared = self._state(self._circuit(dependency))
        if shared == "closed" and dependency in self._local:
            return self._local[dependency].state
        return shared

    async def guard[T](
        self,
        dependency: str,
        call: Callable[[], Awaitable[T]],
        *,
        timeout_s: float | None = None,
        fair_s: float = 0.0,
    ) -> T:
        """The call's result, or its error; `CircuitOpen` without calling while open.

        Raises `TimeoutError` when the call is not back in `timeout_s`, the stores' part of the
        guard included. That counts against
        the dependency only where `timeout_s` is at least `fair_s`, so that a caller in a
        hurry can't open a circuit for everybody. Each attempt of a retried call is guarded,
        and counts, on its own.
        """
        due = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        probe = await self._admit(dependency, timeout_s)
        try:
            async with asyncio.timeout_at(due):
                result = await call()
        except BaseException as error:
            fair = timeout_s is None or timeout_s >= fair_s
            await _to_its_end(self._heard(dependency, verdict(error, fair=fair), probe))
            raise
        await _to_its_end(self._heard(dependency, Verdict.WELL, probe))
        return result

    async def _admit(self, dependency: str, timeout_s: float | None) -> _Probe | None:
        """None for an ordinary call; raises `CircuitOpen`."""
        state = self._state(self._circuit(dependency))
        if state == "half_open":
            return await self._claim(dependency, timeout_s)
        local = self._local.get(dependency)
        if state == "open" or (local and not local.allow()):
            raise CircuitOpen(dependency)
        return None

    async def _claim(self, dependency: str, timeout_s: float | None) -> _Probe | None:
        now = self._clock()
        if now < self._no_probe_until.get(dependency, now):
            raise CircuitOpen(dependency)
        lasts_s = max(self._probe_s, (timeout_s or 0.0) + 1.0)
        self._no_probe_until[dependency] = now + lasts_s
        owner, lease = uuid.uuid4().hex, _lease(dependency)
        try:
            claimed = await self._ask(lambda store: store.claim(lease, owner, ttl_s=lasts_s))
            if claimed is None:
                self._on_transition(dependency, "half_open")
                return _Probe(None)
            if not claimed:
                self._no_probe_until[dependency] = now + BESIDE_A_PROBE_S
                raise CircuitOpen(dependency)
            return await self._under_lease(dependency, owner)
        except asyncio.CancelledError:  # who gave up must not keep others from probing
            self._no_probe_until.pop(dependency, None)
            await self._ask(lambda store: store.release(lease, owner))
            raise

    async def _under_lease(self, dependency: str, owner: str) -> _Probe | None:
        # What we knew may be a request old: a probe may have come back in the meantime.
        read = await self._ask(lambda store: store.read((), (BREAKERS_KEY,)))
        if read is not None:
            self._learn(read[1].get(BREAKERS_KEY, {}))
        state = self._state(self._circuit(dependency))
        if state == "half_open":
            self._on_transition(dependency, "half_open")
            return _Probe(owner)
        self._no_probe_until.pop(dependency, None)
        await self._ask(lambda store: store.release(_lease(dependency), owner))
        if state == "open":
            raise CircuitOpen(dependency)
        return None

    async def _heard(self, dependency: str, outcome: Verdict, probe: _Probe | None) -> None:
        if outcome is Verdict.REFUSED:
            self._on_refused(dependency)
        if probe is not None:
            await self._probed(dependency, outcome, probe)
            return
        local = self._local.get(dependency)
        match outcome:
            case Verdict.WELL | Verdict.REFUSED:
                if local:
                    local.success()
                circuit = self._circuit(dependency)
                if circuit.failures and circuit.opened_at is None:
                    await self._reset(dependency)
            case Verdict.FAILED:
                await self._failed(dependency)
            case Verdict.UNKNOWN:
                if local:
                    local.abandon()

    async def _probed(self, dependency: str, outcome: Verdict, probe: _Probe) -> None:
        # A lease is not given back after a verdict: those who have not heard it yet would
        # probe once more.
        match outcome:
            case Verdict.WELL | Verdict.REFUSED:
                await self._reset(dependency)
                self._no_probe_until.pop(dependency, None)
                log.info("circuit closed", extra={"dependency": dependency, "shared": True})
                self._on_transition(dependency, "closed")
            case Verdict.FAILED:
                if not await self._open(dependency):
                    self._no_probe_until[dependency] = self._clock() + self._open_s
                else:
                    self._no_probe_until.pop(dependency, None)
            case Verdict.UNKNOWN:
                self._no_probe_until.pop(dependency, None)
                if owner := probe.owner:
                    await self._ask(lambda store: store.release(_lease(dependency), owner))

    async def _failed(self, dependency: str) -> None:
        if self._circuit(dependency).opened_at is not None:
            return  # a call from before it opened: the verdict is in
        put, add, remove = circuit_fields.failure(
            self._fields, dependency, now_s=self._clock(), stale_s=self._stale_s
        )
        told = await self._update(put=put, add=add, remove=remove)
        local = self._local.get(dependency)
        if not told or (local and local.state == "half_open"):
            self._local_breaker(dependency).failure()
        if not told:
            return
        circuit = self._circuit(dependency)
        marked = f"{dependency}|open" in self._fields
        if circuit.failures >= self._limit and not marked:
            # Those who fail a moment later mark it as well, in case the first can't.
            await self._open(dependency, first=circuit.failures == self._limit)

    async def _open(self, dependency: str, *, first: bool = True) -> bool:
        """Whether everybody could be told."""
        put = circuit_fields.opening(dependency, now_s=self._clock())
        told = await self._update(put=put, add={circuit_fields.VERSION: 1})
        if first:
            log.warning("circuit opened", extra={"dependency": dependency, "shared": told})
            self._on_transition(dependency, "open")
        return told

    async def _reset(self, dependency: str) -> None:
        gone = circuit_fields.fields_of(self._fields, dependency)
        # At once for this process, so that of many successes together only one is written.
        self._fields = {name: held for name, held in self._fields.items() if name not in gone}
        await self._update(add={circuit_fields.VERSION: 1}, remove=gone)

    async def _update(
        self,
        *,
        put: Mapping[str, bytes] | None = None,
        add: Mapping[str, int] | None = None,
        remove: list[str] | None = None,
    ) -> bool:
        fields = await self._ask(
            lambda store: store.update(
                BREAKERS_KEY, put=put, add=add, remove=remove or (), ttl_s=KEPT_S
            )
        )
        if fields is None:
            return False
        self.absorb(fields)
        return True

    async def _ask[T](self, ask: Callable[[SharedStore], Awaitable[T]]) -> T | None:
        """What the nearest store that answers says; None when none says anything."""
        answered = await nearest(self._stores, ask)
        if answered is None:
            return None
        store, said = answered
        if store.name != self._home:
            self._move(store.name, {})
        return said

    def _move(self, home: str, fields: Fields) -> None:
        known = circuit_fields.names(self._fields) | self._carried.keys()
        left = {name: self._circuit(name) for name in known}
        self._carried = {
            name: circuit.opened_at
            for name, circuit in left.items()
            if circuit.opened_at is not None and self._state(circuit) == "open"
        }
        self._home = home
        self._learn(fields)

    def _learn(self, fields: Fields) -> None:
        self._fields, self._learnt_at = fields, self._clock()

    def _circuit(self, dependency: str) -> Circuit:
        circuit = CLOSED
        if self._fields:
            circuit = circuit_fields.circuit(
                self._fields,
                dependency,
                now_s=self._clock(),
                limit=self._limit,
                stale_s=self._stale_s,
            )
        if circuit.opened_at is None and dependency in self._carried:
            carried = Circuit(circuit.failures, self._carried[dependency])
            return carried if self._state(carried) == "open" else circuit
        return circuit

    def _state(self, circuit: Circuit) -> State:
        if circuit.opened_at is None:
            return "closed"
        # A time far ahead of ours is a clock gone wrong: a probe tells.
        return "open" if abs(self._clock() - circuit.opened_at) < self._open_s else "half_open"

    def _local_breaker(self, dependency: str) -> LocalBreaker:
        if dependency not in self._local:
            self._local[dependency] = LocalBreaker(
                dependency,
                clock=self._clock,
                failures=self._limit,
                open_s=self._open_s,
                probe_s=self._probe_s,
                stale_s=self._stale_s,
                on_transition=self._on_transition,
            )
        return self._local[dependency]


def _lease(dependency: str) -> str:
    return lease_key(f"breaker:{dependency}")


async def _to_its_end(telling: Coroutine[Any, Any, None]) -> None:
    """Awaits it even when the caller gives up meanwhile: what a call has shown must not be lost
    with the caller. The stores' own time limits bound it."""
    task = asyncio.create_task(telling)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
