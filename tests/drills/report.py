"""What a run of drills brought, as a table for people and as JSON."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from drills.healthy import Quiet
from drills.paging import Page
from drills.running import Ran
from steadyrag import __version__
from steadyrag.monitoring.definitions import Alarm


@dataclass(frozen=True, slots=True)
class DrillReport:
    """`quiet` is None where healthy days were not wanted, and `pages` where no topic was;
    `undrilled` names alarms without a drill, `unknown` drills without an alarm."""

    ran: Sequence[Ran]
    quiet: Quiet | None
    pages: Sequence[Page] | None
    undrilled: Sequence[str]
    unknown: Sequence[str]
    seconds: float
    cpu_seconds: float
    template: str
    load: float
    paged_for: str = field(default="down")

    @property
    def problems(self) -> list[str]:
        """What is not as it should be, in words."""
        found = [f"{name} has no drill: write one in tests/drills" for name in self.undrilled]
        found += [f"{name} is drilled and not in the template" for name in self.unknown]
        for one in self.ran:
            alarm, fault = one.drill.alarm, one.drill.fault
            if one.early:
                found.append(f"{alarm} fired before {fault}")
            if one.fired_min is None:
                found.append(f"{alarm} did not fire within {one.drill.within} min: {fault}")
            elif one.cleared_min is None:
                found.append(f"{alarm} was not over {one.drill.clears} min after: {fault}")
            found += [f"{name} {READING}" for name in one.readings_differ]
        if self.quiet:
            found += [f"{name} fired on healthy traffic" for name in self.quiet.fired]
            found += [f"{name} {READING}" for name in self.quiet.readings_differ]
        if self.pages is not None:
            arrived = [page for page in self.pages if page.alarm.endswith(f"-{self.paged_for}")]
            if not arrived:
                found.append(f"no page of {self.paged_for} arrived")
            found += [
                f"the page of {p.alarm} names no runbook" for p in self.pages if not p.runbook
            ]
        return list(dict.fromkeys(found))

    def as_json(self) -> dict[str, Any]:
        return {
            "command": "drill",
            "version": __version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cpus": os.process_cpu_count(),
            "load": self.load,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "template": self.template,
            "drills": [
                {
                    "alarm": one.drill.alarm,
                    "topic": topic(one.alarm),
                    "fault": one.drill.fault,
                    "fired_after_min": one.fired_min,
                    "fired_after_periods": one.fired_periods,
                    "cleared_after_min": one.cleared_min,
                    "requests": one.requests,
                    "also_fired": sorted(
                        {t.name for t in one.transitions if t.new == "ALARM"} - {one.drill.alarm}
                    ),
                    "silent_on_healthy_traffic": self._silent(one.drill.alarm),
                }
                for one in self.ran
            ],
            "healthy": None
            if self.quiet is None
            else {
                "hours": self.quiet.hours,
                "requests": self.quiet.requests,
                "fired": list(self.quiet.fired),
                "insufficient_data": list(self.quiet.insufficient),
            },
            "pages": None
            if self.pages is None
            else [
                {
                    "alarm": page.alarm,
                    "state": page.state,
                    "runbook": page.runbook,
                    "after_ms": page.after_ms,
                }
                for page in self.pages
            ],
            "problems": self.problems,
        }

    def rendered(self) -> RenderableType:
        table = Table(box=None, pad_edge=False)
        for title in (
            "alarm",
            "topic",
            "fault",
            "fires after",
            "over after",
            "silent when healthy",
        ):
            table.add_column(
                title, justify="left" if title in ("alarm", "topic", "fault") else "right"
            )
        for one in self.ran:
            silent = self._silent(one.drill.alarm)
            table.add_row(
                one.drill.alarm,
                topic(one.alarm),
                one.drill.fault,
                _fired(one),
                "-" if one.cleared_min is None else f"{one.cleared_min} min",
                "-" if silent is None else "yes" if silent else "NO",
            )
        return Group(table, "", *map(Text, self._told()))

    def _told(self) -> list[str]:
        lines = []
        if self.quiet:
            quiet = self.quiet
            lines.append(
                f"Healthy: {quiet.hours} h with {quiet.requests:,} searches; fired: "
                f"{', '.join(quiet.fired) or 'nothing'}; at times without data: "
                f"{', '.join(quiet.insufficient) or 'none'}"
            )
        lines += [
            f"Paged: {page.alarm} {page.state}, {page.after_ms:.0f} ms later: {page.runbook}"
            for page in self.pages or ()
        ]
        asked = sum(one.requests for one in self.ran)
        lines.append(
            f"{len(self.ran)} drills of the alarms in {self.template} with {asked:,} searches; "
            f"{self.seconds:.0f} s, of which {self.cpu_seconds:.0f} s on a processor"
        )
        return lines + [f"WRONG: {problem}" for problem in self.problems]

    def _silent(self, alarm: str) -> bool | None:
        return None if self.quiet is None else alarm not in self.quiet.fired


READING = "hangs on how metric math takes a missing data point: FILL it, and SUM up"


def _fired(one: Ran) -> str:
    if one.fired_min is None:
        return "never"
    periods = f"{one.fired_periods:.2g} period{'' if one.fired_periods == 1 else 's'}"
    return f"{periods}, {one.fired_min} min"


def topic(alarm: Alarm) -> str:
    """`page` or `ticket`; an alarm that tells nobody is CodeDeploy's."""
    told = [action.rpartition("-")[2].rpartition(":")[2] for action in alarm.actions]
    return ", ".join(told) or "release"
