"""What a cache says of itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from steadyrag.adapters.valkey_client import ValkeyClient, reading

if TYPE_CHECKING:
    from steadyrag.adapters.valkey_iam import IamCredentials


async def describe(
    url: str, *, credentials: IamCredentials | None = None, timeout_s: float = 5.0
) -> str:
    """Such as `valkey 8.1, a cluster, over TLS`. Raises `DependencyError`."""
    client = ValkeyClient(
        url=url,
        timeout_s=timeout_s,
        connect_timeout_s=timeout_s,
        clock=time.time,
        credentials=credentials,
    )
    try:
        await client.warm()
        _, hello = await client.run([("", ("PING",)), ("", ("HELLO",))])
    finally:
        await client.aclose()
    with reading():
        said = dict(zip(hello[::2], hello[1::2], strict=False))
        what = f"{said[b'server'].decode()} {said[b'version'].decode()}"
        kind = "a cluster" if said[b"mode"] == b"cluster" else "a single server"
    return f"{what}, {kind}, {'over TLS' if urlsplit(url).scheme == 'rediss' else 'without TLS'}"
