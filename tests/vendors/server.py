"""A small HTTP/1.1 server on asyncio: cheap enough not to disturb what is timed, and close
enough to the socket to reset it, to stop half way and to drip."""

import asyncio
import contextlib
import dataclasses
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from vendors.faults import Fault, Faults

_REASONS = {200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 429: "Too Many"}


@dataclass(frozen=True, slots=True)
class Request:
    """`connection` numbers the TCP connection it came on; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    operation: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> tuple[bytes, bytes]:
        raw = self.body if isinstance(self.body, bytes) else b""
        if self.body is not None and not isinstance(self.body, bytes):
            text = json.dumps(self.body, ensure_ascii=False)
            raw = text.encode("utf-8", "backslashreplace")  # half a character as JSON writes it
        lines = [f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Status')}"]
        headers = {"content-type": "application/json", **self.headers}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines.append(f"content-length: {len(raw)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode(), raw


class Vendor:
    """A vendor answers requests; a subclass says how. `requests` is the record of them,
    admin calls not counted."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.requests: list[Request] = []
        self.url = ""

    def operation_of(self, request: Request) -> str:
        """The name faults and records know this request by."""
        raise NotImplementedError

    def answer(self, request: Request, fault: Fault | None) -> Response:
        raise NotImplementedError

    def error(self, fault: Fault) -> Response:
        """`fault` as this vendor words it."""
        raise NotImplementedError

    def admin(self, request: Request) -> Response | None:
        """`/_faults`, `/_requests` and what a subclass adds."""
        match request.method, request.path:
            case "POST", "/_faults":
                try:
                    self.faults.apply(request.json)
                except (ValueError, TypeError, AttributeError) as problem:
                    return Response(400, {"problem": str(problem)})
                return Response(200, {})
            case "DELETE", "/_faults":
                self.faults.clear()
                return Response(200, {})
            case "GET", "/_requests":
                listed = [
                    {
                        "operation": r.operation,
                        "method": r.method,
                        "path": r.path,
                        "body": r.body.decode(errors="replace"),
                        "connection": r.connection,
                    }
                    for r in self.requests
                ]
                return Response(200, listed)
            case "DELETE", "/_requests":
                self.requests.clear()
                return Response(200, {})
        return None

    def asked(self, operation: str) -> list[Request]:
        """The requests recorded under one operation."""
        return [request for request in self.requests if request.operation == operation]


class _Connection:
    def __init__(
        self,
        vendor: Vendor,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._vendor = vendor
        self._number = number
        self._reader = reader
        self._writer = writer

    async def run(self) -> None:
        try:
            while (request := await self._read()) is not None:
                if not await self._serve(request):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writer.close()

    async def _read(self) -> Request | None:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        path = target.partition("?")[0]
        return Request(method, path, headers, body, self._number)

    async def _serve(self, request: Request) -> bool:
        vendor = self._vendor
        if unquote(request.path).startswith("/_"):
            admin = vendor.admin(request)
            if admin is not None:
                return await self._send(admin)
        operation = vendor.operation_of(request)
        request = dataclasses.replace(request, operation=operation)
        vendor.requests.append(request)
        fault = vendor.faults.next(operation)
        due = time.perf_counter() + vendor.faults.delay_s(operation)
        response = self._answer(request, fault)
        if (wait_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        return await self._fulfil(response, fault)

    def _answer(self, request: Request, fault: Fault | None) -> Response:
        match fault:
            case Fault(kind="status"):
                return self._vendor.error(fault)
            case Fault(kind="garbage"):
                return Response(200, b"<html>\x00it works!")
            case Fault(kind="nonsense"):
                return Response(200, {"hello": ["world", None]})
            case Fault(kind="reset" | "hang"):
                return Response(500)
        return self._vendor.answer(request, fault)

    async def _fulfil(self, response: Response, fault: Fault | None) -> bool:
        writer = self._writer
        if fault and fault.kind == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if fault and fault.kind == "hang":
            await self._reader.read()
            return False
        head, body = response.encoded()
        if fault and fault.kind == "half":
            writer.write(head + body[: len(body) // 2])
            await writer.drain()
            return False
        if fault and fault.kind == "drip":
            writer.write(head)
            for i in range(len(body)):
                writer.write(body[i : i + 1])
                await writer.drain()
                await asyncio.sleep(fault.drip_s)
            return True
        writer.write(head + body)
        await writer.drain()
        return True

    async def _send(self, response: Response) -> bool:
        self._writer.write(b"".join(response.encoded()))
        await self._writer.drain()
        return True


async def start(vendor: Vendor, port: int = 0, host: str = "127.0.0.1") -> asyncio.Server:
    """Serves `vendor` on the running loop and sets its `url`."""
    opened = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await _Connection(vendor, opened, reader, writer).run()

    server = await asyncio.start_server(connected, host, port, limit=1 << 20)
    vendor.url = f"http://{host}:{server.sockets[0].getsockname()[1]}"
    return server


@contextlib.contextmanager
def serving[V: Vendor](vendor: V, port: int = 0) -> Iterator[V]:
    """Serves `vendor` from a thread of its own, so that it answers while the test's loop
    is busy, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(vendor, port), loop).result(5)
    try:
        yield vendor
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    server.abort_clients()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await server.wait_closed()
