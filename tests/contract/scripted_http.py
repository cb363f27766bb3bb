"""An HTTP server on loopback that answers what it is told, to whatever it is asked."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Reply:
    """promised: more bytes than follow, before the connection ends. pause_s: after each byte
    of the body."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    promised: int = 0
    pause_s: float = 0.0


class ScriptedHttp:
    """Answers each request with the next of `replies`, and with the last one from then on.
    `asked` are the requests' bodies."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[bytes] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("content-length", 0))
                scripted.asked.append(self.rfile.read(length))
                replies = scripted.replies
                reply = replies.pop(0) if len(replies) > 1 else replies[0]
                self.send_response(reply.status)
                promised = str(reply.promised or len(reply.body))
                for name, value in {"content-length": promised, **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                if reply.pause_s:
                    try:
                        for byte in reply.body:
                            self.wfile.write(bytes([byte]))
                            time.sleep(reply.pause_s)
                    except OSError:
                        return
                else:
                    self.wfile.write(reply.body)
                if reply.promised:
                    self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
