"""The documents' bucket as a folder.

An object is one file: a line of JSON that says what it is, and then its content. It comes into
being under its name in one step, so whoever reads sees one version, whole. The name is a hash
of the key: no key is too long for a file, leads out of the folder, or is another one's name
where the file system ignores case or the form of letters.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from steadyrag.domain import attributes as kept
from steadyrag.domain.errors import Unavailable
from steadyrag.domain.ledger import Changed, Fetched, Upload
from steadyrag.domain.objects import Attributes, StoredObject

NAME = "bucket"

PART_BYTES = 1 << 20

_LONGEST_LINE_BYTES = 16_384
_OBJECT = ".object"
_UNFINISHED = ".part"


class LocalBucket:
    """Implements `Bucket` on the folder `path`, which processes may share. `name` is what
    events and origins call it; the folder's by default."""

    def __init__(
        self, path: Path, *, name: str | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._name = name or path.name
        self._clock = clock

    @property
    def name(self) -> str:
        return self._name

    async def head(self, key: str) -> StoredObject | None:
        return await _in_thread(lambda: self._head(key))

    async def fetch(self, key: str, into: str) -> Fetched | None:
        return await _in_thread(lambda: self._fetch(key, into))

    async def put(self, key: str, content: bytes, attributes: Attributes) -> StoredObject:
        said = kept.written(attributes)
        return await _in_thread(lambda: self._put(key, content, said))

    async def replace(self, key: str, content: bytes, *, stamp: str) -> None:
        said = kept.written(Attributes())
        await _in_thread(lambda: self._put(key, content, said, over=stamp))

    async def delete(self, key: str) -> None:
        await _in_thread(lambda: self._delete(key))

    async def upload(
        self, key: str, attributes: Attributes, *, max_bytes: int, lives_s: int
    ) -> Upload:
        raise NotImplementedError("a folder takes no uploads")

    async def objects(self, prefix: str, *, after: str = "") -> AsyncIterator[StoredObject]:
        found = await _in_thread(lambda: list(self._all(prefix)))
        for one in sorted(found, key=lambda one: one.key.encode()):
            if one.key.encode() > after.encode():
                yield replace(one, attributes=None)

    async def folders(self, prefix: str) -> list[str]:
        found = await _in_thread(lambda: list(self._all(prefix)))
        rests = [one.key.removeprefix(prefix) for one in found]
        return sorted({rest.partition("/")[0] for rest in rests if "/" in rest})

    async def aclose(self) -> None:
        """Nothing is kept open."""

    def _file(self, key: str) -> Path:
        name = hashlib.blake2b(key.encode(), digest_size=20).hexdigest()
        return self._path / f"{name}{_OBJECT}"

    def _head(self, key: str) -> StoredObject | None:
        return _read_head(self._file(key))

    def _fetch(self, key: str, into: str) -> Fetched | None:
        sha256 = hashlib.sha256()
        try:
            file = self._file(key).open("rb")
        except FileNotFoundError:
            return None
        with file, open(into, "wb") as copy:
            found = _described(file)
            while part := file.read(PART_BYTES):
                sha256.update(part)
                copy.write(part)
        return Fetched(found, sha256.hexdigest())

    def _put(self, key: str, content: bytes, said: str, *, over: str | None = None) -> StoredObject:
        stamp, modified_at = secrets.token_hex(12), self._clock()
        head = {"key": key, "stamp": stamp, "modified_at": modified_at, "attributes": said}
        self._path.mkdir(parents=True, exist_ok=True)
        unfinished = self._path / f"{stamp}{_UNFINISHED}"
        try:
            with unfinished.open("xb") as file:
                file.write(json.dumps(head).encode() + b"\n")
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with self._alone():
                if over is not None and over != self._stamp(key):
                    raise Changed(f"{key}: somebody else has changed it")
                unfinished.replace(self._file(key))
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        attributes = kept.read(said) or Attributes()
        return StoredObject(key, stamp, stamp, len(content), modified_at, attributes)

    def _delete(self, key: str) -> None:
        with suppress(FileNotFoundError), self._alone():
            self._file(key).unlink()

    def _stamp(self, key: str) -> str:
        found = self._head(key)
        return found.stamp if found else ""

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes anything here meanwhile. The system lets go of the folder when
        the process ends, however it ends."""
        folder = os.open(self._path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def _all(self, prefix: str) -> Iterator[StoredObject]:
        with suppress(FileNotFoundError):
            for path in self._path.iterdir():
                if path.suffix == _OBJECT:
                    found = _read_head(path)
                    if found is not None and found.key.startswith(prefix):
                        yield found


def _read_head(path: Path) -> StoredObject | None:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return _described(file)
    return None


def _described(file: BinaryIO) -> StoredObject:
    """The object in a file, which is read up to where the content begins."""
    line = file.readline(_LONGEST_LINE_BYTES)
    try:
        head = json.loads(line)
        return StoredObject(
            key=head["key"],
            version=head["stamp"],
            stamp=head["stamp"],
            size_bytes=os.fstat(file.fileno()).st_size - len(line),
            modified_at=head["modified_at"],
            attributes=kept.read(head["attributes"]) or Attributes(),
        )
    except (KeyError, TypeError, ValueError):
        problem = f"{file.name} is not an object of Steadyrag's: delete it"
        raise Unavailable(NAME, problem) from None


async def _in_thread[R](work: Callable[[], R]) -> R:
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise Unavailable(NAME, f"{error.filename or 'the disk'}: {error.strerror}") from error
