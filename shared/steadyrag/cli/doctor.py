"""steadyrag doctor"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steadyrag.doctor.checking import Examined

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red", "skip": None}


@click.command("doctor")
@click.option(
    "--stack",
    metavar="NAME",
    help="Check a deployed stack instead, as its functions are set up. Reads it from AWS with "
    "this shell's credentials and region.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(stack: str | None, as_json: bool) -> None:
    """Check everything a deployment needs, and say what to do about what is wrong.

    Looks at what the settings of this shell name, or at a deployed stack. Calls each vendor
    once or twice, with one word. Exits with 1 when something would break; warnings don't count.
    """
    from steadyrag.doctor.checking import healthy

    examined = asyncio.run(_examine(stack))
    if as_json:
        click.echo(json.dumps(_as_json(examined), ensure_ascii=False, indent=2))
    else:
        show(examined)
    if not healthy(examined):
        sys.exit(1)


async def _examine(stack: str | None) -> list[Examined]:
    from steadyrag.doctor.checking import examine
    from steadyrag.progress import progress
    from steadyrag.wiring import doctor as wiring

    subject = f"stack {stack}" if stack else "settings"
    with progress(f"checking {subject}") as advance:
        async with wiring.of_stack(stack) if stack else wiring.here() as checks:
            return await examine(checks, advance=advance)


def show(examined: Sequence[Examined]) -> None:
    """A line for each finding, and one for what to do about it."""
    width = max(len(one.check) for one in examined)
    for one in examined:
        for finding in one.findings:
            status = click.style(f"{finding.status:4}", fg=COLOURS[finding.status])
            click.echo(f"{status}  {one.check:{width}}  {finding.said}")
            if finding.do:
                click.echo(f"{'':{width + 8}}→ {finding.do}")
    counted = [finding.status for one in examined for finding in one.findings]
    click.echo(
        ", ".join(f"{counted.count(status)} {status}" for status in COLOURS if status in counted)
    )


def _as_json(examined: Sequence[Examined]) -> dict[str, object]:
    from steadyrag.doctor.checking import healthy

    return {
        "healthy": healthy(examined),
        "findings": [
            {
                "check": one.check,
                "status": finding.status,
                "said": finding.said,
                "do": finding.do,
                "took_ms": round(one.took_ms, 1),
            }
            for one in examined
            for finding in one.findings
        ],
    }
