"""A bucket in a dictionary. It keeps versions, as ours in AWS does."""

import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fakes.trouble import Trouble
from steadyrag.domain import attributes as said
from steadyrag.domain.ledger import Changed, Fetched, Upload
from steadyrag.domain.objects import Attributes, StoredObject


@dataclass(frozen=True, slots=True)
class _Kept:
    object: StoredObject
    content: bytes


class InMemoryBucket(Trouble):
    """Keeps the promises of `Bucket` with the clock it is given.

    `posted(upload, content)` is what a client does with an `Upload`: whether the bucket took
    it. Nobody is told of changes; a test that wants events makes them.
    """

    def __init__(
        self, *, name: str = "documents-bucket", clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self._name = name
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._numbers = itertools.count(1)
        self._awaited: dict[str, tuple[str, Attributes, Upload]] = {}

    @property
    def name(self) -> str:
        return self._name

    async def head(self, key: str) -> StoredObject | None:
        await self._called("head")
        kept = self._kept.get(key)
        return kept.object if kept else None

    async def fetch(self, key: str, into: str) -> Fetched | None:
        await self._called("fetch")
        kept = self._kept.get(key)
        if kept is None:
            return None
        Path(into).write_bytes(kept.content)  # noqa: ASYNC240
        return Fetched(kept.object, hashlib.sha256(kept.content).hexdigest())

    async def put(self, key: str, content: bytes, attributes: Attributes) -> StoredObject:
        said.written(attributes)
        await self._called("put")
        return self._keep(key, content, attributes)

    async def replace(self, key: str, content: bytes, *, stamp: str) -> None:
        await self._called("replace")
        kept = self._kept.get(key)
        if stamp != (kept.object.stamp if kept else ""):
            raise Changed(key)
        self._keep(key, content, Attributes())

    async def delete(self, key: str) -> None:
        await self._called("delete")
        self._kept.pop(key, None)

    async def upload(
        self, key: str, attributes: Attributes, *, max_bytes: int, lives_s: int
    ) -> Upload:
        said.written(attributes)
        await self._called("upload")
        ticket = f"ticket-{next(self._numbers)}"
        fields = {"key": key, "ticket": ticket}
        expires_at = self._clock() + lives_s
        upload = Upload(f"https://{self._name}.example", fields, expires_at, max_bytes)
        self._awaited[ticket] = (key, attributes, upload)
        return upload

    def posted(self, upload: Upload, content: bytes) -> bool:
        key, attributes, promised = self._awaited[upload.fields["ticket"]]
        if promised.expires_at <= self._clock() or not 1 <= len(content) <= promised.max_bytes:
            return False
        self._keep(key, content, attributes)
        return True

    async def objects(self, prefix: str, *, after: str = "") -> AsyncIterator[StoredObject]:
        await self._called("objects")
        for key in sorted(self._kept, key=str.encode):
            if key.startswith(prefix) and key.encode() > after.encode() and key in self._kept:
                yield replace(self._kept[key].object, attributes=None)

    async def folders(self, prefix: str) -> list[str]:
        await self._called("folders")
        rests = (key.removeprefix(prefix) for key in self._kept if key.startswith(prefix))
        return sorted({rest.partition("/")[0] for rest in rests if "/" in rest})

    def _keep(self, key: str, content: bytes, attributes: Attributes) -> StoredObject:
        number = next(self._numbers)
        modified_at = self._clock()
        kept = StoredObject(
            key=key,
            version=f"v{number}",
            stamp=f"{number}@{modified_at}",
            size_bytes=len(content),
            modified_at=modified_at,
            attributes=attributes,
        )
        self._kept[key] = _Kept(kept, content)
        return kept
