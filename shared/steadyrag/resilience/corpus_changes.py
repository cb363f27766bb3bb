"""How whoever changes documents tells everyone, before and after.

    changing()   tombstones, then a new version, in every store
    ...          the index is changed
    changed()    a new version again

The version before lets nobody take an answer from before for a fresh one while the index
changes; the one after does so for answers computed meanwhile. Tombstones come before the
version, so that who sees the new version finds them. Stores that can't be told stop the change: a
delete is acknowledged only when every store knows of it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import batched
from typing import Any, Protocol

from steadyrag.domain.errors import DependencyError, Throttled, Unavailable
from steadyrag.domain.ports import SharedStore
from steadyrag.resilience.corpus import (
    CORPUS_TTL_S,
    NOTHING_BEFORE,
    TOMB_TTL_S,
    WANTED_TTL_S,
    CorpusState,
    Tomb,
    digests,
    read_corpus,
    read_tombs,
)
from steadyrag.resilience.keys import corpus_key, tombs_key

MOST_TOMBS = 5_000
"""Of one namespace. Older ones are dropped, and last-good answers from before them with them."""

_MOST_FIELDS = 100
"""Changed in one update: an expression of DynamoDB has 4 kB."""
_FAR_TOO_MANY = 2 * MOST_TOMBS
_ROOM_TO_TAKE_OUT = 1_000
"""Beyond what may be wanted: documents that are being taken out of the index always have a
place some time, since their tombstones can be dropped, and wanted ones can't."""


class Changes(Protocol):
    """Told of every change to a namespace's documents. Raises `DependencyError` when not
    everybody could be told; then the change must not go on, or not be acknowledged."""

    async def changing(
        self,
        namespace: str,
        *,
        deleted: Iterable[str] = (),
        added: Iterable[str] = (),
        wanted_gone: Iterable[str] = (),
    ) -> None:
        """Before the index is changed, each time. Ids of documents that go altogether, of
        those that come or change, and of those that shall go at some time: these are kept
        out of answers until they have been named as deleted, however long that takes."""

    async def changed(self, namespace: str) -> None:
        """After the last change."""


class Untold:
    """`Changes` where nobody needs to know."""

    async def changing(
        self,
        namespace: str,
        *,
        deleted: Iterable[str] = (),
        added: Iterable[str] = (),
        wanted_gone: Iterable[str] = (),
    ) -> None: ...

    async def changed(self, namespace: str) -> None: ...


class CorpusChanges:
    """`Changes` in the shared stores. `keep_s` is how long a tombstone is never dropped after
    its document was taken out: as long as an index may show what was deleted."""

    def __init__(
        self,
        stores: Sequence[SharedStore],
        *,
        timeout_s: float = 5.0,
        keep_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._stores = stores
        self._timeout_s = timeout_s
        self._keep_s = keep_s
        self._clock = clock

    async def changing(
        self,
        namespace: str,
        *,
        deleted: Iterable[str] = (),
        added: Iterable[str] = (),
        wanted_gone: Iterable[str] = (),
    ) -> None:
        now, back = self._clock(), digests(added)
        buried = {digest: Tomb(now, wanted=True) for digest in digests(wanted_gone)}
        buried |= {digest: Tomb(now) for digest in digests(deleted)}
        stamp = _new_stamp()

        async def tell(store: SharedStore) -> None:
            lives_s = await self._bury(store, namespace, buried, back) if buried or back else 0.0
            await self._bump(store, namespace, stamp, tombs_live_s=lives_s)

        await self._everywhere(tell)

    async def changed(self, namespace: str) -> None:
        stamp = _new_stamp()
        await self._everywhere(lambda store: self._bump(store, namespace, stamp))

    async def _everywhere(self, tell: Callable[[SharedStore], Coroutine[Any, Any, None]]) -> None:
        """All stores at once, all of them over when this returns or raises the first error."""

        async def within(store: SharedStore) -> None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await tell(store)
            except TimeoutError:
                raise Unavailable(store.name, f"took longer than {self._timeout_s:g} s") from None

        told = await asyncio.gather(*map(within, self._stores), return_exceptions=True)
        for outcome in told:
            if outcome is not None:
                raise outcome

    async def _bury(
        self, store: SharedStore, namespace: str, buried: Mapping[str, Tomb], back: Sequence[str]
    ) -> float:
        """How long the store keeps the tombstones from now on; 0 where none has changed."""
        key, now = tombs_key(namespace), self._clock()
        fields = (await store.read((), [key]))[1].get(key, {})
        held = read_tombs(fields, now).by_digest
        put = dict(buried)
        for digest in back:
            if (tomb := held.get(digest)) and tomb.back_at is None and digest not in put:
                put[digest] = Tomb(tomb.deleted_at, now)
        kept = {**held, **put}
        dropped = self._too_many(kept, now)
        gone = set(dropped)
        new = [tomb for digest, tomb in put.items() if digest not in held]
        left = {digest: tomb for digest, tomb in kept.items() if digest not in gone}
        self._check_room(store, new, left.values(), now)
        over = [d for d in fields if d not in kept and d != NOTHING_BEFORE]
        changes = {d: tomb.encoded() for d, tomb in put.items() if d not in gone}
        if dropped:
            changes = {NOTHING_BEFORE: Tomb(now).encoded(), **changes}
        lives_s = WANTED_TTL_S if any(tomb.wanted for tomb in kept.values()) else TOMB_TTL_S
        for some in batched(changes.items(), _MOST_FIELDS, strict=False):
            await store.update(key, put=dict(some), ttl_s=lives_s)
        for fields_over in batched([*dropped, *over], _MOST_FIELDS, strict=False):
            await store.update(key, remove=fields_over, ttl_s=lives_s)
        return lives_s if changes else 0.0

    def _too_many(self, tombs: Mapping[str, Tomb], now: float) -> list[str]:
        """Those to drop, the oldest first."""
        excess = len(tombs) - MOST_TOMBS
        if excess <= 0:
            return []
        over = (digest for digest, tomb in tombs.items() if not tomb.wanted)
        oldest = sorted(over, key=lambda digest: tombs[digest].changed_at)[:excess]
        return [d for d in oldest if now - tombs[d].changed_at >= self._keep_s]

    def _check_room(
        self, store: SharedStore, new: Sequence[Tomb], left: Collection[Tomb], now: float
    ) -> None:
        """Only new tombstones may be too many: who takes out or brings back a document that is
        buried makes room, and must never wait for it. Raises `Throttled`."""
        wanted = any(tomb.wanted for tomb in new)
        if not new or len(left) <= _FAR_TOO_MANY + (0 if wanted else _ROOM_TO_TAKE_OUT):
            return
        oldest = min((tomb.changed_at for tomb in left if not tomb.wanted), default=now)
        wait_s = self._keep_s - (now - oldest)
        raise Throttled(store.name, "holds too many new tombstones", retry_after_s=max(0.1, wait_s))

    async def _bump(
        self, store: SharedStore, namespace: str, stamp: bytes, *, tombs_live_s: float = 0.0
    ) -> None:
        key, now = corpus_key(namespace), self._clock()
        put = {"stamp": stamp, "changed_at": f"{now:.3f}".encode()}
        if tombs_live_s:
            put["tombs_until"] = f"{now + tombs_live_s:.3f}".encode()
        fields = await store.update(key, put=put, add={"version": 1}, ttl_s=CORPUS_TTL_S)
        if "since" not in fields:
            await store.update(key, put={"since": put["changed_at"]})


async def begin_record(
    store: SharedStore, others: Sequence[SharedStore], namespace: str, now: float
) -> CorpusState | None:
    """Starts a namespace's record in a store that has none: with what another store knows,
    else in all of them, so that each can take another's place. What was deleted before is
    not known there any more."""
    key = corpus_key(namespace)

    async def known(other: SharedStore) -> dict[str, bytes]:
        with suppress(DependencyError):
            fields = (await other.read((), [key]))[1].get(key, {})
            return fields if read_corpus(fields) else {}
        return {}

    async def begin(fresh: SharedStore) -> dict[str, bytes]:
        return await fresh.update(key, put=put, add={"version": version}, ttl_s=CORPUS_TTL_S)

    records = [fields for fields in await asyncio.gather(*map(known, others)) if fields]
    fields = records[0] if records else {"stamp": _new_stamp()}
    version = int(fields.get("version", b"0"))
    put = {name: value for name, value in fields.items() if name != "version"}
    put["since"] = f"{now:.3f}".encode()
    if not records:
        await asyncio.gather(*map(begin, others), return_exceptions=True)
    return read_corpus(await begin(store))


def _new_stamp() -> bytes:
    return secrets.token_urlsafe(9).encode()
