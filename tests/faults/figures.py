"""Figures with their bars, as a table for people and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steadyrag import __version__


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise. `bar` says what must hold and `measured` what did, in words; `values` are
    the numbers behind it. A figure that has no bar is `met` as None."""

    name: str
    bar: str
    measured: str
    met: bool | None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A scenario's figures and, for people, the tables behind them. `seconds` is how long it
    took."""

    scenario: str
    figures: Sequence[Figure]
    seconds: float
    tables: Sequence[RenderableType] = ()


@dataclass(frozen=True, slots=True)
class FaultsReport:
    """A run of `make faults`; `load` is the machine's load average before it."""

    outcomes: Sequence[Outcome]
    load: float

    @property
    def met(self) -> bool:
        return all(figure.met is not False for one in self.outcomes for figure in one.figures)

    def as_json(self) -> dict[str, Any]:
        return {
            "command": "faults",
            "version": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": os.process_cpu_count(),
            "load": self.load,
            "scenarios": [
                {
                    "name": one.scenario,
                    "seconds": one.seconds,
                    "figures": [
                        {
                            "name": figure.name,
                            "bar": figure.bar,
                            "measured": figure.measured,
                            "met": figure.met,
                            **figure.values,
                        }
                        for figure in one.figures
                    ],
                }
                for one in self.outcomes
            ],
        }

    def rendered(self) -> RenderableType:
        table = Table(box=None, pad_edge=False)
        for column in ("figure", "bar", "measured", ""):
            table.add_column(column, overflow="fold")
        for one in self.outcomes:
            for figure in one.figures:
                verdict = {True: Text("met", "green"), False: Text("missed", "red"), None: Text()}
                table.add_row(figure.name, figure.bar, figure.measured, verdict[figure.met])
        ran_on = (
            f"steadyrag {__version__}, Python {platform.python_version()}, "
            f"{os.process_cpu_count()} CPUs ({platform.machine()}), load {self.load:.1f}, "
            f"{sum(one.seconds for one in self.outcomes):.0f} s"
        )
        details = [part for one in self.outcomes for table in one.tables for part in (table, "")]
        missed = sum(figure.met is False for one in self.outcomes for figure in one.figures)
        verdict = Text(f"{missed} missed", "red") if missed else Text("Every bar is met.", "green")
        return Group(*details, table, "", Text(ran_on, "dim"), verdict)
