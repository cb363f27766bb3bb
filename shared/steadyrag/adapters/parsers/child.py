"""The process in which strangers' documents are read: `isolated` starts it and asks it.

It has the parsers loaded and never looks at a document itself: for each one it forks a process
that gives up what it can, reads that document, writes what it found into a file that it was
handed, and ends. So each document gets its own limits, and what one does to its reader the next
one doesn't see.

Control socket, from the parent: four bytes of length and with them two open files (the document,
the reply), then a `Task` as JSON. Back: one exit code of four bytes, 0 or else why there is no
reply; a first 0 says that the process is ready.
"""

import errno
import gc
import json
import os
import socket
import struct
import sys
from dataclasses import asdict, dataclass

from steadyrag.adapters.parsers.registry import Parsers
from steadyrag.adapters.parsers.sandbox import limit, refuse_system_calls
from steadyrag.domain.documents import ParsedDocument, UnreadableDocument

CODE = struct.Struct("<i")
LENGTH = struct.Struct("<I")
OUT_OF_MEMORY = 3
TOO_LONG = 4
BROKE = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may cost its reader, and `Parsers`' own bounds."""

    max_bytes: int
    max_characters: int
    max_sections: int
    memory_bytes: int
    cpu_s: int
    reply_bytes: int


@dataclass(frozen=True, slots=True)
class Task:
    """Which document the open file holds."""

    document_id: str
    name: str


def main(control_fd: int, limits: Limits) -> None:
    """Serves until the parent closes its end."""
    with socket.socket(fileno=control_fd) as control:
        parsers = Parsers(
            max_bytes=limits.max_bytes,
            max_characters=limits.max_characters,
            max_sections=limits.max_sections,
        )
        parsers.preload()
        gc.freeze()
        control.sendall(CODE.pack(0))
        while asked := _asked(control):
            task, files = asked
            reader = os.fork()
            if reader == 0:
                control.close()
                os._exit(_read(parsers, limits, task, *files))
            for file in files:
                os.close(file)
            _, status = os.waitpid(reader, 0)
            control.sendall(CODE.pack(os.waitstatus_to_exitcode(status)))


def _asked(control: socket.socket) -> tuple[Task, tuple[int, int]] | None:
    head, files, _, _ = socket.recv_fds(control, LENGTH.size, 2)
    if not head:
        return None
    body = control.recv(LENGTH.unpack(head)[0], socket.MSG_WAITALL)
    return Task(**json.loads(body)), (files[0], files[1])


def _read(parsers: Parsers, limits: Limits, task: Task, document: int, reply: int) -> int:
    """An exit code: nothing may leave this process but that and the reply."""
    try:
        limit(memory_bytes=limits.memory_bytes, cpu_s=limits.cpu_s, output_bytes=limits.reply_bytes)
        confined = refuse_system_calls()
        with os.fdopen(document, "rb") as file:
            data = file.read(limits.max_bytes + 1)
        answer = _answer(parsers, task, data) | {"confined": confined}
        with os.fdopen(reply, "w", encoding="utf-8", errors="surrogatepass") as file:
            json.dump(answer, file, ensure_ascii=False)
    except MemoryError:
        return OUT_OF_MEMORY
    except OSError as error:
        return TOO_LONG if error.errno == errno.EFBIG else BROKE
    except BaseException:
        return BROKE
    return 0


def _answer(parsers: Parsers, task: Task, data: bytes) -> dict[str, object]:
    try:
        document = parsers.parse(data, document_id=task.document_id, name=task.name)
    except UnreadableDocument as problem:
        if isinstance(problem.__cause__, MemoryError):
            raise MemoryError from None
        return {"reason": str(problem)}
    return {"document": _plain(document)}


def _plain(document: ParsedDocument) -> dict[str, object]:
    return {
        "document_id": document.document_id,
        "title": document.title,
        "sections": [asdict(section) for section in document.sections],
        "metadata": dict(document.metadata),
    }


if __name__ == "__main__":
    main(int(sys.argv[1]), Limits(**json.loads(sys.argv[2])))
