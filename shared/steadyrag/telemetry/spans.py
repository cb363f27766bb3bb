"""Tracing: what a request spent its time on. Nothing is traced until `configure` says so.

search                      the request, with what `annotate` says of it
├── embedding, vector       its stages, from whichever task they run in
└── keyword
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

log = logging.getLogger(__name__)

type Fact = str | int | float | bool


class Tracer(Protocol):
    """Where spans go. Tracers swallow their own failures: a request never sees one."""

    def span(self, name: str) -> AbstractContextManager[None]: ...

    def annotate(self, facts: dict[str, Fact]) -> None: ...


class _Untraced:
    def __init__(self) -> None:
        self._nothing = nullcontext()

    def span(self, name: str) -> AbstractContextManager[None]:
        return self._nothing

    def annotate(self, facts: dict[str, Fact]) -> None:
        pass


_tracer: Tracer = _Untraced()


def configure(mode: Literal["off", "xray"]) -> None:
    """Switches tracing on or off for the whole process. What stops it from being switched on
    is logged and stops nothing else."""
    global _tracer
    _tracer = _Untraced()
    if mode == "xray":
        try:
            # Imported here: it brings an SDK that nothing else needs.
            from steadyrag.telemetry.xray import XRay

            _tracer = XRay()
        except Exception:
            log.exception("nothing is traced")


def span(name: str) -> AbstractContextManager[None]:
    """Times what runs inside. An exception that leaves it marks it with the exception's class
    and nothing of its text: as the caller's error if it is one, else as a fault."""
    return _tracer.span(name)


def annotate(**facts: Fact) -> None:
    """Adds facts to the outermost span around. Never user text: whoever reads traces reads it."""
    _tracer.annotate(facts)
