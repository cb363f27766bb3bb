"""Tracing: what a request spent its time on. Nothing is traced until `configure` says so.

search                      the request, with what `annotate` and `keep` say of it
├── embedding, vector       its stages, from whichever task they run in, with what `note` says
└── keyword
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Literal, Protocol

from steadyrag.domain.models import Fact
from steadyrag.telemetry.redaction import How

__all__ = ["Fact", "Span", "annotate", "configure", "keep", "note", "span", "trace_id"]

log = logging.getLogger(__name__)

type Environment = Callable[[str], str | None]
"""What Lambda sets, by name, as it is now: `_X_AMZN_TRACE_ID` is another for each invocation."""


class Span:
    """What runs inside, and `facts` about it: never user text, whoever reads traces reads them.

    `around` is the span it was begun in, `request` the outermost of these. A `trace_id` says
    that it is traced; then it has an `id`, and a `parent_id` that may be none of ours.
    """

    __slots__ = (
        "_token",
        "annotations",
        "around",
        "facts",
        "id",
        "kept",
        "name",
        "parent_id",
        "request",
        "started_at",
        "trace_id",
    )

    id: str
    parent_id: str
    started_at: float
    around: Span | None
    request: Span
    annotations: dict[str, Fact]
    kept: dict[str, str]
    _token: Token[Span | None]

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts: dict[str, Fact] = {}
        self.trace_id: str | None = None

    def __enter__(self) -> Span:
        self.around = around = _open.get()
        self.request = around.request if around else self
        if _tracer:
            self.annotations, self.kept = {}, {}
            _tracer.begin(self)
        self._token = _open.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _open.reset(self._token)
        if _tracer and self.trace_id:
            _tracer.end(self, error)


class Tracer(Protocol):
    """Where spans go. Tracers swallow their own failures: a request never sees one."""

    def begin(self, span: Span) -> None:
        """Sets its `trace_id`, `id`, `parent_id` and `started_at`, if it is to be traced."""

    def end(self, span: Span, error: BaseException | None) -> None:
        """Sends it; `error` is what left it, and marks it."""

    def trace_id(self) -> str | None:
        """Of the invocation that goes on, if it is sampled."""

    def close(self) -> None: ...


_open: ContextVar[Span | None] = ContextVar("open", default=None)
_tracer: Tracer | None = None


def configure(
    mode: Literal["off", "xray"],
    *,
    environment: Environment = lambda _: None,
    text: How = "hash",
) -> None:
    """Switches tracing on or off for the whole process; `text` is how the texts of `keep` are
    shown. What stops it from being switched on is logged and stops nothing else."""
    global _tracer
    if _tracer:
        _tracer.close()
    _tracer = None
    if mode == "xray":
        try:
            # Imported here: most processes trace nothing.
            from steadyrag.telemetry.xray import XRay

            _tracer = XRay(environment, text)
        except Exception:
            log.exception("nothing is traced")


def span(name: str) -> Span:
    """Times what runs inside, in tasks begun inside too. An exception that leaves it marks it
    with the exception's class and nothing of its text: as the caller's error if it is one, else
    as a fault."""
    return Span(name)


def note(**facts: Fact) -> None:
    """Adds facts to the innermost span around. Where there is none they are dropped."""
    if innermost := _open.get():
        innermost.facts.update(facts)


def annotate(**facts: Fact) -> None:
    """Adds facts that traces are searched by to the outermost span around."""
    if (innermost := _open.get()) and innermost.request.trace_id:
        innermost.request.annotations.update(facts)


def keep(**texts: str) -> None:
    """User text for whoever has to find out why the request failed: sent with the outermost span
    around, redacted, if the request fails or is degraded, and forgotten if not. What a stage
    keeps carries the stage's name: `generation_output`."""
    if (innermost := _open.get()) is None or not (request := innermost.request).trace_id:
        return
    stage = "" if innermost is request else f"{innermost.name}_"
    request.kept.update({f"{stage}{name}": text for name, text in texts.items()})


def trace_id() -> str | None:
    """X-Ray's id of this request or invocation, where it is sampled."""
    if innermost := _open.get():
        return innermost.trace_id
    return _tracer.trace_id() if _tracer else None
