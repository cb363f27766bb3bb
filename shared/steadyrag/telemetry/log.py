"""Structured logs: one JSON line an event, through Powertools' formatter."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from steadyrag.domain.errors import ConfigError, DependencyError

type ExcInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def configure(level: str = "INFO", *, service: str = "steadyrag") -> None:
    """Sends every `steadyrag` log line to standard error as JSON. Safe to call twice.

    Fields passed as `extra` become keys; inside `request` there is `request_id` too. User text
    is never passed to a log call.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter())
    handler.addFilter(_add_request_id)
    logger = logging.getLogger("steadyrag")
    logger.handlers = [handler]
    logger.setLevel(level)
    logger.propagate = False
    for chatty in ("httpx", "httpx2", "pinecone", "openai", "botocore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


@contextmanager
def request(request_id: str) -> Iterator[None]:
    """Every line logged inside, in tasks begun inside too, carries this id."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def _add_request_id(record: logging.LogRecord) -> bool:
    if (request_id := _request_id.get()) is not None:
        record.request_id = request_id
    return True


class _Formatter(LambdaPowertoolsFormatter):
    def formatException(self, ei: ExcInfo) -> str:  # noqa: N802 - logging's name
        """Where a chain of exceptions came from, the cause first, without their messages:
        those of SDKs and of pydantic quote keys, prompts and questions. Our own of what lets
        us down say nothing but what an operator needs."""
        return "".join(_told(error) for error in _chain(ei[1]))


def _formatter() -> logging.Formatter:
    return _Formatter(
        log_record_order=["level", "message"],
        serialize_stacktrace=False,  # it would hold the message
        exception_notes=None,
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return reversed(chain)


def _told(error: BaseException) -> str:
    said = f": {error}" if isinstance(error, DependencyError | ConfigError) else ""
    return f"{''.join(traceback.format_tb(error.__traceback__))}{type(error).__qualname__}{said}\n"
