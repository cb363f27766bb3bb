"""An address that nobody should ask for anything."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def unasked() -> Iterator[tuple[str, list[str]]]:
    """The address, and the first line of every request that came all the same."""
    lines: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines.append(self.rfile.readline(1000).decode("latin-1"))
            self.wfile.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", lines
        server.shutdown()
        thread.join()
