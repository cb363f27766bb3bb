"""Spans as X-Ray subsegments of the segment that Lambda makes for each invocation.

Each is sent by itself when it closes, with its parent's id: one UDP datagram, which nobody
waits for. Documents and header are as X-Ray's developer guide has them ("segment documents",
"tracing header"). Without AWS's SDK, which keeps its stack of open subsegments by thread, where
tasks that run side by side become each other's children, and whose import is paid for by every
cold start.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from steadyrag.domain.errors import CallerError
from steadyrag.domain.models import Fact
from steadyrag.telemetry.encoding import encoded
from steadyrag.telemetry.redaction import How, redact
from steadyrag.telemetry.spans import Environment, Span

log = logging.getLogger(__name__)

_FILTERS = frozenset(
    ("mode", "variant", "namespace", "search_id", "error", "degraded", "cache", "reason")
)
"""Facts of a request that X-Ray indexes, however they got there."""

_STAGE_FILTERS = frozenset(("reason",))

_HEADER = b'{"format":"json","version":1}\n'
_LARGEST = 64_000
"""Bytes. X-Ray takes documents of 64 kB, a datagram holds little more."""

_LONGEST_ANNOTATION = 1000
"""Characters that X-Ray takes."""

_LONGEST_KEPT = 8000
"""Characters of each text."""


class XRay:
    """The tracer of a Lambda function. Elsewhere there is no invocation and nothing is sent.

    `text` is how kept texts are redacted. Raises for an `AWS_XRAY_DAEMON_ADDRESS` that is none,
    or has a name that nobody knows: it is looked up here, once.
    """

    def __init__(self, environment: Environment, text: How = "hash") -> None:
        self._environment, self._text = environment, text
        host, port = _daemon(environment("AWS_XRAY_DAEMON_ADDRESS") or "127.0.0.1:2000")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        self._address: tuple[Any, ...] = address
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)

    def close(self) -> None:
        self._socket.close()

    def begin(self, span: Span) -> None:
        try:
            if around := span.around:
                if not around.trace_id:
                    return
                trace_id, span.parent_id = around.trace_id, around.id
            elif invocation := self._invocation():
                trace_id, span.parent_id = invocation
            else:
                return
            span.id = os.urandom(8).hex()
            span.started_at = time.time()
            span.trace_id = trace_id
        except Exception:
            log.debug("span not begun", exc_info=True)

    def end(self, span: Span, error: BaseException | None) -> None:
        try:
            document = self._document(span, error)
            self._socket.sendto(_HEADER + _fitting(document), self._address)
        except Exception:
            log.debug("span not sent", exc_info=True)

    def trace_id(self) -> str | None:
        invocation = self._invocation()
        return invocation[0] if invocation else None

    def _invocation(self) -> tuple[str, str] | None:
        """The ids of the trace and of the segment that goes on, if it is sampled."""
        header = self._environment("_X_AMZN_TRACE_ID") or ""
        said = dict(part.strip().partition("=")[::2] for part in header.split(";"))
        if said.get("Sampled") == "1" and "Root" in said and "Parent" in said:
            return said["Root"], said["Parent"]
        return None

    def _document(self, span: Span, error: BaseException | None) -> dict[str, Any]:
        document: dict[str, Any] = {
            "name": span.name,
            "id": span.id,
            "trace_id": span.trace_id,
            "parent_id": span.parent_id,
            "type": "subsegment",
            "start_time": span.started_at,
            "end_time": max(time.time(), span.started_at),
        }
        outermost = span.request is span
        indexed = _FILTERS if outermost else _STAGE_FILTERS
        annotations, metadata = dict[str, Fact](), dict[str, Any]()
        for name, fact in span.facts.items():
            (annotations if name in indexed else metadata)[name] = fact
        annotations |= span.annotations
        if isinstance(error, Exception):
            document["error" if isinstance(error, CallerError) else "fault"] = True
            annotations.setdefault("reason", type(error).__name__)
        if span.kept and (isinstance(error, Exception) or _went_wrong(annotations)):
            for name, text in span.kept.items():
                metadata[name] = redact(text, self._text)[:_LONGEST_KEPT]
        if annotations:
            document["annotations"] = {k: _indexable(v) for k, v in annotations.items()}
        if metadata:
            document["metadata"] = {"steadyrag": metadata}
        return document


def _daemon(address: str) -> tuple[str, int]:
    """Host and port of `127.0.0.1:2000` or `tcp:127.0.0.1:2000 udp:127.0.0.2:2001`."""
    parts = address.split()
    udp = next((part for part in parts if part.startswith("udp:")), parts[0])
    host, _, port = udp.removeprefix("udp:").rpartition(":")
    return host, int(port)


def _went_wrong(annotations: Mapping[str, Fact]) -> bool:
    degraded, error = annotations.get("degraded"), annotations.get("error")
    return bool(degraded or error or annotations.get("mode") == "canned")


def _indexable(fact: Fact) -> Fact:
    return fact[:_LONGEST_ANNOTATION] if isinstance(fact, str) else fact


def _fitting(document: dict[str, Any]) -> bytes:
    """The document as JSON, without what makes it too large."""
    for dropped in ("", "metadata", "annotations"):
        document.pop(dropped, None)
        if len(fitting := encoded(document)) <= _LARGEST:
            return fitting
    raise ValueError(f"{document['name']} does not fit")
