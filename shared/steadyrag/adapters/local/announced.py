"""Who serves a data directory tells its stores' addresses to whoever changes the documents.

One file for each serving process, locked for as long as the process lives: the system lets
go of the lock however that ends, so a file without one is stale.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from steadyrag.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class StoreAddresses:
    """Named like the settings that they stand for; None for a store that is not there."""

    cache_url: str | None = None
    table_prefix: str | None = None
    local_dynamodb_url: str | None = None


@contextmanager
def announced(data_dir: Path, addresses: StoreAddresses) -> Iterator[None]:
    """Tells `announcements` of them until the block or the process ends. Only the file's owner
    may read it, since an address may hold a password. Raises `ConfigError` when it can't be
    written."""
    path = data_dir / f"stores-{secrets.token_hex(8)}.json"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        for stale in [old for old in _files(data_dir) if _read(old) is None]:
            stale.unlink(missing_ok=True)
        handle = _publish(path, json.dumps(asdict(addresses)))
    except OSError as error:
        raise ConfigError(f"{path} can't be written ({error.strerror})") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _publish(path: Path, text: str) -> int:
    """The handle that holds the lock. Whoever finds the file finds it whole and locked."""
    new = path.with_suffix(".new")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.write(handle, text.encode())
        new.rename(path)
    except OSError:
        new.unlink(missing_ok=True)
        os.close(handle)
        raise
    return handle


def announcements(data_dir: Path) -> list[StoreAddresses]:
    """Of every process that serves `data_dir` now. Raises `ConfigError` for one that may not
    be read."""
    try:
        found = [_read(path) for path in _files(data_dir)]
    except OSError as error:
        raise ConfigError(f"{error.filename} can't be read ({error.strerror})") from error
    return [addresses for addresses in found if addresses is not None]


def _files(data_dir: Path) -> list[Path]:
    return sorted(data_dir.glob("stores-*.json"))


def _read(path: Path) -> StoreAddresses | None:
    """None where nobody holds the lock. Raises `OSError`."""
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return StoreAddresses(**json.load(file))
        return None
