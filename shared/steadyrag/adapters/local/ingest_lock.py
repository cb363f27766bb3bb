"""One ingest at a time per namespace, among the processes of one machine."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steadyrag.domain.errors import ConfigError


class IngestLock:
    """Locks a file in `directory`; the system lets go of it when the process ends, however
    it ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @contextmanager
    def __call__(self, namespace: str) -> Iterator[None]:
        """Raises `ConfigError` when another process is ingesting into `namespace`."""
        path = self._directory / f"ingest-{namespace}.lock"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ConfigError(f"{path} can't be written ({error.strerror})") from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
                raise ConfigError(
                    f"another ingest into namespace {namespace!r} is running (process {holder}); "
                    "wait for it to end, or use another --namespace"
                ) from None
            os.truncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
            yield
        finally:
            os.close(handle)
