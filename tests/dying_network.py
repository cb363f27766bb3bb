"""A TCP proxy that does to idle connections what networks do while nobody looks."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

type Fate = Literal["alive", "stranded", "lost"]


@dataclass(eq=False, slots=True)
class _Pair:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    upstream: asyncio.StreamWriter
    fate: Fate = "alive"


class DyingNetwork:
    """Passes bytes on to `target`, a `host:port`. `opened` counts connections, `met` those
    that were dead when something was sent on them."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self.address = ""
        self.opened = 0
        self.met = 0

    def cut(self) -> None:
        """Resets every connection, in full view of the client's kernel."""
        self._do(lambda pair: _reset(pair.writer))

    def strand(self) -> None:
        """Forgets every connection, as a NAT gateway does with idle ones: nobody is told, and
        what is sent on one is answered with a reset."""
        self._condemn("stranded")

    def lose(self) -> None:
        """As `strand`, but what is sent vanishes without an answer."""
        self._condemn("lost")

    def _condemn(self, fate: Fate) -> None:
        def condemn(pair: _Pair) -> None:
            pair.fate = fate

        self._do(condemn)

    def _do(self, act) -> None:
        async def to_all() -> None:
            for pair in list(self._pairs):
                act(pair)

        asyncio.run_coroutine_threadsafe(to_all(), self._loop).result(5)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            back, upstream = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        pair = _Pair(reader, writer, upstream)
        self._pairs.add(pair)
        answers = asyncio.create_task(self._answers(pair, back))
        try:
            with contextlib.suppress(OSError):
                await self._requests(pair)
        finally:
            answers.cancel()
            self._pairs.discard(pair)
            writer.close()
            upstream.close()

    async def _requests(self, pair: _Pair) -> None:
        while data := await pair.reader.read(1 << 16):
            if pair.fate == "alive":
                pair.upstream.write(data)
                await pair.upstream.drain()
                continue
            self.met += 1
            if pair.fate == "stranded":
                _reset(pair.writer)
                return

    async def _answers(self, pair: _Pair, back: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await back.read(1 << 16):
                pair.writer.write(data)
                await pair.writer.drain()
        if pair.fate == "alive":
            pair.writer.close()

    async def _start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = "127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        return server

    async def _stop(self, server: asyncio.Server) -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.contextmanager
def network_before(target: str) -> Iterator[DyingNetwork]:
    """A proxy before `target`, on a thread of its own, until the block ends."""
    proxy = DyingNetwork(target)
    loop = proxy._loop
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(proxy._start(), loop).result(5)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy._stop(server), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()
