"""The servers of the embedded default start fast and end with whoever started them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from servers import LOCAL_AWS, ROOT, running
from steadyrag.adapters.local.services import start_local_aws, start_valkey

PARENT = """
import sys, time
from pathlib import Path
from steadyrag.adapters.local.services import start_valkey

print(start_valkey(Path(sys.argv[1])).port, flush=True)
if sys.argv[2] == "waits":
    time.sleep(60)
if sys.argv[2] == "raises":
    raise SystemExit("on purpose")
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ends(port: int, within_s: float = 5.0) -> bool:
    before = time.monotonic() + within_s
    while listens(port) and time.monotonic() < before:
        time.sleep(0.01)
    return not listens(port)


@pytest.mark.parametrize(
    ("manner", "number"),
    [
        ("waits", signal.SIGKILL),
        ("waits", signal.SIGTERM),
        ("waits", signal.SIGINT),
        ("returns", None),
        ("raises", None),
    ],
)
def test_a_server_ends_with_its_parent_however_that_ends(tmp_path: Path, manner, number):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), manner],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT / "shared")},
        text=True,
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        if number is not None:
            parent.send_signal(number)
        parent.wait(10)
    assert ends(port)


def test_a_stopped_server_is_gone_when_stop_returns(tmp_path: Path):
    server = start_valkey(tmp_path)
    assert server.running
    assert listens(server.port)
    server.stop()
    server.stop()
    assert not server.running
    assert not listens(server.port)


def test_a_frozen_server_can_be_stopped(tmp_path: Path):
    server = start_valkey(tmp_path)
    server.signal(signal.SIGSTOP)
    server.stop()
    assert ends(server.port)


def test_a_server_that_died_is_seen_to_have(tmp_path: Path):
    with (
        running(start_valkey(tmp_path)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as connection,
    ):
        connection.sendall(b"SHUTDOWN NOW\r\n")
        server.process.wait(5)
        assert not server.running


def test_the_cache_is_bounded_forgets_the_oldest_and_writes_nothing(tmp_path: Path):
    with running(start_valkey(tmp_path)) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"CONFIG GET maxmemory*\r\nCONFIG GET save\r\n")
            time.sleep(0.05)
            told = connection.recv(4096)
        assert b"allkeys-lru" in told
        assert str(64 * 1024 * 1024).encode() in told
    assert {path.name for path in server.log.parent.iterdir()} == {"valkey.log"}


def test_a_proxy_for_other_addresses_does_not_come_in_between(tmp_path: Path, monkeypatch):
    if not LOCAL_AWS.exists():
        pytest.skip("the local AWS is not installed: make .venv-cloud/.ready")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with running(start_local_aws(tmp_path, executable=LOCAL_AWS)) as aws:
        assert listens(aws.port)


def test_only_this_machine_can_reach_them(tmp_path: Path):
    if not LOCAL_AWS.exists():
        pytest.skip("the local AWS is not installed: make .venv-cloud/.ready")
    aws = start_local_aws(tmp_path, executable=LOCAL_AWS)
    with running(aws), running(start_valkey(tmp_path)) as valkey:
        table = Path("/proc/net/tcp")
        if not table.exists():
            pytest.skip("this system does not list its sockets")
        listening = [line.split()[1] for line in table.read_text().splitlines() if " 0A " in line]
        for port in (aws.port, valkey.port):
            assert f"0100007F:{port:04X}" in listening
            assert f"00000000:{port:04X}" not in listening
