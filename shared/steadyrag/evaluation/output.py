"""Where a report goes: a table on stdout, the same figures in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console, RenderableType

DECIMALS = 6


class Report(Protocol):
    def rendered(self) -> RenderableType: ...

    def as_json(self) -> dict[str, Any]: ...


def publish(report: Report, out: Path | None) -> None:
    """Writes the report to `out` if there is one, and prints it."""
    if out is not None:
        figures = json.dumps(_rounded(report.as_json()), ensure_ascii=False, indent=2)
        out.write_text(figures + "\n", encoding="utf-8")
    console = Console(highlight=False)
    if not console.is_terminal:  # a log has no width; tables must not be cut
        console = Console(highlight=False, width=140)
    console.print(report.rendered())


def _rounded(value: Any) -> Any:
    """Floats to as many decimals as can mean something."""
    match value:
        case float():
            return round(value, DECIMALS)
        case dict():
            return {key: _rounded(item) for key, item in value.items()}
        case list() | tuple():
            return [_rounded(item) for item in value]
    return value
