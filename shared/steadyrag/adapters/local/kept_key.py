"""A random key that outlives the process."""

from __future__ import annotations

import logging
import os
import secrets
from pathlib import Path
from tempfile import NamedTemporaryFile

log = logging.getLogger(__name__)

KEY_BYTES = 32


def kept_key(path: Path) -> bytes:
    """The key in the file `path`, the same for all processes; made where there is none. What
    can't be kept ends with this process, and a warning says so."""
    try:
        return _held(path) or _made(path)
    except OSError as error:
        log.warning("no key kept", extra={"file": str(path), "reason": error.strerror})
        return secrets.token_bytes(KEY_BYTES)


def _held(path: Path) -> bytes | None:
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(key) == KEY_BYTES:
        return key
    path.unlink(missing_ok=True)  # it was cut off, or is no key
    return None


def _made(path: Path) -> bytes:
    """Of several processes that make one at once, the first one's holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(KEY_BYTES)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as file:  # mode 600
        file.write(key)
        file.flush()
        try:
            os.link(file.name, path)
        except FileExistsError:
            return path.read_bytes()
    return key
