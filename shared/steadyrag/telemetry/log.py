"""Structured logs: one JSON line an event, as Powertools has them."""

from __future__ import annotations

import logging
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from steadyrag.domain.errors import ConfigError, DependencyError
from steadyrag.telemetry import spans
from steadyrag.telemetry.encoding import encoded
from steadyrag.telemetry.redaction import Redacted, redact

type ExcInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

USER_TEXT = frozenset({"query", "question", "answer", "comment", "text", "prompt", "title", "user"})
"""Fields that hold what people wrote. What comes in them unredacted is hashed."""


@dataclass(frozen=True, slots=True)
class _Request:
    id: str
    cold_start: bool
    sampled: bool


_request: ContextVar[_Request | None] = ContextVar("request", default=None)
_handler: logging.StreamHandler[Any] | None = None
_sample = 0.0
_cold = True


def configure(
    level: str = "INFO",
    *,
    service: str = "steadyrag",
    function: str | None = None,
    sample: float = 0.0,
) -> None:
    """Sends every `steadyrag` log line to standard error as JSON. Safe to call twice.

    Fields passed as `extra` become keys; those named in `USER_TEXT` hold user text only as
    `redact` gave it. Inside `request` there are `request_id` and `cold_start` too, where the
    request is traced `xray_trace_id`, and of a `sample` of requests, 0 to 1, the DEBUG lines
    whatever the `level`.
    """
    global _sample, _cold, _handler
    _sample, _cold = sample, True
    _handler = handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(service=service, function_name=function))
    logger = logging.getLogger("steadyrag")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
    if sample > 0:
        handler.addFilter(_printed(logger.level))
        logger.setLevel(logging.DEBUG)
    for chatty in ("httpx", "httpx2", "pinecone", "openai", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # No line says which thread, process or task it is of; each costs time to find out.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.logAsyncioTasks = False  # type: ignore[attr-defined]


@contextmanager
def request(request_id: str) -> Iterator[None]:
    """Every line logged inside, in tasks begun inside too, carries this id, and whether the
    request is the first since `configure`. Whether its DEBUG lines are printed is decided by
    the id, so wherever it is logged under it."""
    global _cold
    sampled = _sample > 0 and zlib.crc32(request_id.encode()) < _sample * 2**32
    token = _request.set(_Request(request_id, _cold, sampled))
    _cold = False
    try:
        yield
    finally:
        _request.reset(token)


def tell(message: str, fields: Mapping[str, Any]) -> None:
    """Prints a line that is a record, and no talk about one: whatever the level, and without
    what `logging` finds out about the place in the code.
    Nothing where `configure` wasn't called."""
    if _handler is None or not isinstance(_handler.formatter, _Formatter):
        return
    line = _handler.formatter.told(message, fields) + "\n"
    # A stream that is closed costs the line, as it does in `logging`.
    with _handler.lock or nullcontext(), suppress(OSError, ValueError):
        _handler.stream.write(line)
        _handler.flush()


def _printed(level: int) -> Callable[[logging.LogRecord], bool]:
    """Lets through what is severe enough, and everything of a request that is in the sample."""

    def printed(record: logging.LogRecord) -> bool:
        if record.levelno >= level:
            return True
        request = _request.get()
        return request is not None and request.sampled

    return printed


class _Formatter(LambdaPowertoolsFormatter):
    """Lines with the fields and times of Powertools, put together in fewer passes."""

    def __init__(self, **always: str | None) -> None:
        super().__init__()
        self._always = {name: value for name, value in always.items() if value is not None}

    def format(self, record: logging.LogRecord) -> str:
        """As JSON, with what is known of the request, and no user text in the clear."""
        line: dict[str, Any] = {
            "level": record.levelname,
            "message": record.getMessage(),
            "location": f"{record.funcName}:{record.lineno}",
            "timestamp": self.formatTime(record),
        }
        self._add_what_is_known(line)
        extra = vars(record)
        _add(line, {name: extra[name] for name in extra.keys() - _OF_ANY_RECORD})
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self.formatException(record.exc_info)
            line["exception_name"] = record.exc_info[0].__name__
        return encoded(line).decode()

    def told(self, message: str, fields: Mapping[str, Any]) -> str:
        """The same without a place."""
        line: dict[str, Any] = {
            "level": "INFO",
            "message": message,
            "timestamp": self.formatTime(_Now()),
        }
        self._add_what_is_known(line)
        _add(line, fields)
        return encoded(line).decode()

    def _add_what_is_known(self, line: dict[str, Any]) -> None:
        line.update(self._always)
        if request := _request.get():
            line["request_id"] = request.id
            line["cold_start"] = request.cold_start
        if trace_id := spans.trace_id():
            line["xray_trace_id"] = trace_id

    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - logging's name
        """Where a chain of exceptions came from, the cause first, without their messages:
        those of SDKs and of pydantic quote keys, prompts and questions. Our own of what lets
        us down say nothing but what an operator needs."""
        return "".join(_told(error) for error in _chain(ei[1]))


def _add(line: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        if value is not None:
            shown = name not in USER_TEXT or isinstance(value, Redacted)
            line[name] = value if shown else redact(str(value), "hash")


class _Now(logging.LogRecord):
    """A record that knows its time alone."""

    def __init__(self) -> None:
        self.created = time.time()
        self.msecs = self.created % 1 * 1000


_OF_ANY_RECORD = frozenset(vars(logging.makeLogRecord({})))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return reversed(chain)


def _told(error: BaseException) -> str:
    said = f": {error}" if isinstance(error, DependencyError | ConfigError) else ""
    return f"{''.join(traceback.format_tb(error.__traceback__))}{type(error).__qualname__}{said}\n"
