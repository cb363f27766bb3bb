"""Child processes of the test: started on free loopback ports, stopped by their own id."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

READY_WITHIN_S = 30.0


class Failed(RuntimeError):
    """A command or a server did not do what it should; the message ends with its output."""


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(
    command: Sequence[str], *, ports: Sequence[int], env: Mapping[str, str], log: Path, cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command` until the block ends, once each port takes connections.

    The child leads a process group of its own, and the whole group is stopped: what it
    started goes with it.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        for port in ports:
            _await_port(child, port, log)
        yield child
    finally:
        _stop_group(child)


def run(
    command: Sequence[str], *, env: Mapping[str, str], log: Path, cwd: Path, timeout_s: float
) -> str:
    """Runs `command` to its end and returns what it printed; raises `Failed` with the end of
    it where the status isn't 0."""
    child = subprocess.Popen(
        command,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        _stop_group(child)
        printed, _ = child.communicate()
        raise Failed(f"{command[0]} took over {timeout_s:g} s\n{printed[-4000:]}") from None
    except BaseException:
        _stop_group(child)
        child.communicate()
        raise
    with log.open("a") as output:
        output.write(f"$ {' '.join(command)}\n{printed}\n")
    if child.returncode:
        raise Failed(f"{' '.join(command[:3])} ended with {child.returncode}\n{printed[-4000:]}")
    return printed


def tail(log: Path, lines: int = 40) -> str:
    """The last lines of a log file, or nothing."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _await_port(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise Failed(f"a server ended with {child.returncode}\n{tail(log)}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Failed(f"nothing listens on port {port} after {READY_WITHIN_S:g} s\n{tail(log)}")


def _stop_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(5)
