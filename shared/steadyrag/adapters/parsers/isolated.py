"""Documents read in a process of their own, since they come from strangers."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import weakref
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError

from steadyrag.adapters.parsers.child import CODE, LENGTH, OUT_OF_MEMORY, TOO_LONG, Limits, Task
from steadyrag.adapters.parsers.registry import Parsers
from steadyrag.domain.documents import ParsedDocument, UnreadableDocument, one_line
from steadyrag.domain.errors import Unavailable

log = logging.getLogger(__name__)

START_TIMEOUT_S = 20.0

_BYTES_A_CHARACTER = 4
_TIME_IS_UP = (-signal.SIGXCPU, -signal.SIGALRM)
_KILLED = -signal.SIGKILL


@dataclass(frozen=True, slots=True)
class _Reply:
    confined: bool
    document: ParsedDocument | None = None
    reason: str | None = None


_REPLY = TypeAdapter(_Reply)


class IsolatedParsers(Parsers):
    """`Parsers`, with each document read by a child process under limits: one that no document
    can wear out, that inherits no environment and, on Linux, opens no connection.

    memory_mb: address space one document may take (not bounded on macOS).
    timeout_s: how long one may take, waited for and computed.

    The child is started with the first document, serves the ones after it, one at a time, and
    ends with this object or this process. Safe to use from several threads.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 100_000_000,
        max_characters: int = 20_000_000,
        max_sections: int = 100_000,
        memory_mb: int = 1024,
        timeout_s: float = 60.0,
    ) -> None:
        super().__init__(
            max_bytes=max_bytes, max_characters=max_characters, max_sections=max_sections
        )
        self.memory_mb = memory_mb
        self.timeout_s = timeout_s
        self._limits = Limits(
            max_bytes=max_bytes,
            max_characters=max_characters,
            max_sections=max_sections,
            memory_bytes=memory_mb << 20,
            # The clock here comes first; this is for when nobody is left to look at it.
            cpu_s=math.ceil(timeout_s) + 1,
            reply_bytes=_BYTES_A_CHARACTER * max_characters + (16 << 20),
        )
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._warned = False

    def parse(
        self, data: bytes, *, document_id: str, name: str, url: str | None = None
    ) -> ParsedDocument:
        """As `Parsers.parse`; raises `Unavailable` too, where the child can't be started."""
        self.check_size(len(data))
        self.check_type(name)
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            return self._read(file.fileno(), Task(document_id, name), url)

    def parse_file(
        self, path: Path, *, document_id: str, name: str | None = None, url: str | None = None
    ) -> ParsedDocument:
        """As `parse`, of a file whose bytes never come into this process. `name` says its
        format where its own doesn't."""
        name = name or path.name
        try:
            # A pipe would keep us waiting for whoever writes into it.
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise UnreadableDocument(f"can't be read ({error.strerror or error})") from error
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableDocument("is not a regular file")
            self.check_size(status.st_size)
            self.check_type(name)
            return self._read(file, Task(document_id, name), url)
        finally:
            os.close(file)

    def close(self) -> None:
        """Ends the child. Another document starts a new one."""
        with self._lock:
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, document: int, task: Task, url: str | None) -> ParsedDocument:
        with tempfile.TemporaryFile() as file:
            with self._lock:
                code = self._run(task, document, file.fileno())
            if code != 0:
                raise UnreadableDocument(self._why(code))
            size = os.fstat(file.fileno()).st_size  # bounded: the kernel let it write no more
            reply = _reply(os.pread(file.fileno(), size, 0))
        if not reply.confined and not self._warned:
            self._warned = True
            log.warning("documents are read without a system call filter on this machine")
        if reply.document is None:
            raise UnreadableDocument(one_line(reply.reason or "is damaged"))
        # What a document says is its own; what it is called is not.
        return replace(reply.document, document_id=task.document_id, url=url)

    def _run(self, task: Task, document: int, reply: int) -> int:
        """The exit code of the process that read the document."""
        for _ in range(2):
            child = self._child or self._start()
            try:
                os.lseek(document, 0, os.SEEK_SET)
                return child.ask(task, document, reply, timeout_s=self.timeout_s)
            except TimeoutError as error:
                self._drop()
                raise UnreadableDocument(self._too_slow) from error
            except (OSError, EOFError):  # it has ended since the document before, or now
                self._drop()
        raise Unavailable("parsers", "the process that reads documents ended twice; see its limits")

    def _start(self) -> _Child:
        child = _Child(self._limits)
        self._child = child
        weakref.finalize(self, child.stop)
        try:
            child.wait(START_TIMEOUT_S)
        except (OSError, EOFError) as error:
            self._drop()
            raise Unavailable(
                "parsers", f"the process that reads documents did not start ({error})"
            ) from error
        return child

    def _drop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None

    @property
    def _too_slow(self) -> str:
        return f"takes longer than {self.timeout_s:g} s to be read"

    def _why(self, code: int) -> str:
        if code in (OUT_OF_MEMORY, _KILLED):
            return f"needs more than {self.memory_mb:,} MB of memory to be read"
        if code in _TIME_IS_UP:
            return self._too_slow
        if code == TOO_LONG:
            return "holds more headings and text than are read; split it"
        return "is damaged, or made so that its parser fails"


class _Child:
    """The child process and our end of its control socket."""

    def __init__(self, limits: Limits) -> None:
        """Raises `Unavailable` where no process can be started."""
        self._control, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603
                    _command(theirs.fileno(), limits),
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # a parser's complaints quote the document
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # so that what reads a document ends with it
                )
            except OSError as error:
                self._control.close()
                raise Unavailable("parsers", f"can't start a process ({error})") from error

    def ask(self, task: Task, document: int, reply: int, *, timeout_s: float) -> int:
        body = json.dumps(asdict(task)).encode()
        self._control.settimeout(timeout_s)
        socket.send_fds(self._control, [LENGTH.pack(len(body))], [document, reply])
        self._control.sendall(body)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float) -> int:
        """Its next exit code. Raises `TimeoutError`, and `EOFError` when it has ended."""
        self._control.settimeout(timeout_s)
        told = self._control.recv(CODE.size)
        if len(told) < CODE.size:
            raise EOFError("it ended")
        code: int = CODE.unpack(told)[0]
        return code

    def stop(self) -> None:
        """Kills it and whatever it started. Safe to call twice."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._control.close()


def _command(control: int, limits: Limits) -> list[str]:
    module = "steadyrag.adapters.parsers.child"
    return [sys.executable, "-P", "-B", "-m", module, str(control), json.dumps(asdict(limits))]


def _environment() -> dict[str, str]:
    """Where its code and its interpreter's library lie; no secret, no credential."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if os.path.isabs(path)),
        "LD_LIBRARY_PATH": os.path.join(sys.base_prefix, "lib"),
        "LC_ALL": "C.UTF-8",
    }


def _reply(raw: bytes) -> _Reply:
    """Raises `UnreadableDocument` for what only a reader that was taken over would write."""
    try:
        return _REPLY.validate_json(raw)
    except ValidationError:
        raise UnreadableDocument("made its parser answer nonsense") from None
