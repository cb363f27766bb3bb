"""A server as a child process that ends with the process that started it.

However that one ends: a shell in between holds the other end of a pipe, and stops the
server's process group when the pipe closes. What the server prints goes to a file.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steadyrag.domain.errors import ConfigError

log = logging.getLogger(__name__)

START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 3.0
ATTEMPTS = 3
"""A port that was free a moment ago may be taken when the server binds it."""

_UNTIL_THE_PIPE_CLOSES = """
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
trap 'kill -TERM "$server" 2>/dev/null' TERM INT
(
    trap '' TERM INT
    read -r _ <&3
    kill -TERM 0
    sleep 2
    kill -KILL 0
) >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$server"
status=$?
while kill -0 "$server" 2>/dev/null; do  # a signal interrupts the first wait
    wait "$server"
    status=$?
done
kill -KILL "$watcher" 2>/dev/null
exit "$status"
"""


@dataclass(frozen=True, slots=True)
class Service:
    """A running server. `pid` leads its process group, so a signal to the group reaches it."""

    name: str
    url: str
    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """To the server and whatever it started; nothing where it has ended."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def stop(self) -> None:
        """Asks it to end, then makes it. Safe to call twice."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.signal(signal.SIGCONT)
            self.signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_TIMEOUT_S)
                break
        if self.process.stdin is not None:
            self.process.stdin.close()


def start_service(
    name: str,
    output: Path,
    command: Callable[[int], Sequence[str]],
    ready: Callable[[int], bool],
    *,
    url: str,
    port: int | None,
    environment: Callable[[int], Mapping[str, str]] | None = None,
) -> Service:
    """Runs `command(port)` until `ready(port)` is true; `ready` may raise `OSError` until then.

    Takes a free port unless it is given one. Raises `ConfigError` when the server is not ready
    in time; the message says where its output is.
    """
    began = time.monotonic()
    for _ in range(ATTEMPTS if port is None else 1):
        own = port or free_port()
        service = Service(
            name,
            url.format(port=own),
            own,
            output,
            _spawn(command(own), output, environment(own) if environment else None),
        )
        try:
            if _becomes_ready(service, ready, before=began + START_TIMEOUT_S):
                log.debug("%s is ready after %.1f s", name, time.monotonic() - began)
                return service
        except BaseException:
            service.stop()
            raise
        service.stop()
    raise ConfigError(f"{name} did not start; its output is in {output}")


def _spawn(
    command: Sequence[str], output: Path, environment: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    with output.open("ab") as sink:
        return subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _UNTIL_THE_PIPE_CLOSES, "steadyrag", *command],
            env=None if environment is None else dict(environment),
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: we stop it when we have finished
        )


def _becomes_ready(service: Service, ready: Callable[[int], bool], *, before: float) -> bool:
    while service.running and time.monotonic() < before:
        with contextlib.suppress(OSError):
            if ready(service.port):
                return service.running
        time.sleep(0.02)
    return False


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
