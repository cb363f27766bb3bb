"""A TCP proxy on loopback that breaks connections in the ways networks do."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class TcpProxy:
    """Passes bytes on to `target`, a loopback port, from a thread of its own.

        with TcpProxy(server.port) as proxy:
            proxy.reset()                  # kills every connection, takes new ones
            proxy.resetting = True         # kills each connection as soon as it is used
            proxy.silent = True            # connections stay, nothing comes through any more
            proxy.answer = b"?"            # to whatever is sent
            proxy.delay_s = 0.2            # before each answer
            proxy.refuse(); proxy.accept()

    `accepted` counts connections. With an `ssl_context` clients must speak TLS.
    """

    def __init__(self, target: int = 0, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.silent = False
        self.resetting = False
        self.answer: bytes | None = None
        self.delay_s = 0.0
        self.accepted = 0
        self._ssl_context = ssl_context
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.accept()

    def accept(self) -> None:
        """Listens (again)."""
        self._do(self._accept())

    def refuse(self) -> None:
        """Refuses new connections, and resets those there are."""
        self._do(self._refuse())

    def reset(self) -> None:
        """Resets every connection; new ones are welcome."""
        self._do(self._reset())

    def close(self) -> None:
        if not self._loop.is_running():
            return
        self._do(self._refuse())
        self._do(self._cancel())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _accept(self) -> None:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, ssl=self._ssl_context
        )

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _cancel(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(there)
            await asyncio.gather(self._pass(reader, there, writer), self._pass(back, writer, None))
        except OSError:
            pass
        finally:
            for end in (writer, there):
                if end is not None:
                    self._writers.discard(end)
                    end.transport.abort()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asker: asyncio.StreamWriter | None,
    ) -> None:
        """One direction; `asker` is who gets a made-up answer."""
        while data := await reader.read(65536):
            if self.resetting and asker is not None:
                _reset(asker)
                return
            if self.silent:
                continue
            if asker is None:
                await asyncio.sleep(self.delay_s)
            elif self.answer is not None:
                asker.write(self.answer)
                continue
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.transport.abort()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
