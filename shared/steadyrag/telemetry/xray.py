"""Spans as X-Ray subsegments of the segment that Lambda makes for each invocation.

The SDK keeps its stack of open subsegments by thread, where tasks that run side by side
become each other's children. Here the open span is a context variable, which every task
inherits. Each subsegment is sent by itself when it closes, with its parent's id: one UDP
datagram to the daemon, which nobody waits for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from aws_xray_sdk.core import xray_recorder
from aws_xray_sdk.core.emitters.udp_emitter import DEFAULT_DAEMON_ADDRESS
from aws_xray_sdk.core.lambda_launcher import LambdaContext
from aws_xray_sdk.core.models.subsegment import Subsegment

from steadyrag.domain.errors import CallerError
from steadyrag.telemetry.spans import Fact

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Open:
    """A span that is open; one that is not sampled has no subsegment. `request` is the
    outermost around it."""

    subsegment: Subsegment | None
    request: Subsegment | None


_NOT_SAMPLED = _Open(None, None)

_open: ContextVar[_Open | None] = ContextVar("open", default=None)


class XRay:
    """The tracer of a Lambda function. Elsewhere there is no segment and nothing is sent.

    Raises for an `AWS_XRAY_DAEMON_ADDRESS` that is none.
    """

    def __init__(self) -> None:
        self._daemon = xray_recorder.emitter
        self._daemon.set_daemon_address(DEFAULT_DAEMON_ADDRESS)  # the environment's, if it has one

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        opened = self._begin(name, _open.get())
        token = _open.set(opened)
        try:
            yield
        except Exception as error:
            self._fail(opened, error)
            raise
        finally:
            _open.reset(token)
            self._end(opened)

    def annotate(self, facts: dict[str, Fact]) -> None:
        around = _open.get()
        if around is None or around.request is None:
            return
        try:
            for name, fact in facts.items():
                around.request.put_annotation(name, fact)
        except Exception:
            log.debug("span not annotated", exc_info=True)

    def _begin(self, name: str, around: _Open | None) -> _Open:
        if around is _NOT_SAMPLED:
            return _NOT_SAMPLED
        try:
            if around and around.subsegment:
                parent = around.subsegment
                segment = parent.parent_segment
            else:
                # A new context every time: the SDK's would keep the parent of an earlier
                # invocation that belongs to the same trace.
                parent = segment = LambdaContext().get_trace_entity()
                if not segment.sampled:
                    return _NOT_SAMPLED
            made = Subsegment(name, "local", segment)
            made.parent_id = parent.id
            return _Open(made, around.request if around else made)
        except Exception:
            log.debug("span not begun", exc_info=True)
            return _NOT_SAMPLED

    def _fail(self, opened: _Open, error: Exception) -> None:
        if (subsegment := opened.subsegment) is None:
            return
        try:
            if isinstance(error, CallerError):
                subsegment.add_error_flag()
            else:
                subsegment.add_fault_flag()
            subsegment.put_annotation("reason", type(error).__name__)
        except Exception:
            log.debug("span not marked", exc_info=True)

    def _end(self, opened: _Open) -> None:
        if (subsegment := opened.subsegment) is None:
            return
        try:
            subsegment.close()
            self._daemon.send_entity(subsegment)
        except Exception:
            log.debug("span not sent", exc_info=True)
