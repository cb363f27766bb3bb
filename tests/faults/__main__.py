"""`make faults [ONLY="matrix herd"] [PAIRS=1] [EVENTS=n] [OUT=file.json]`"""

import logging
import os
import time
from importlib import import_module
from pathlib import Path

import click

from faults.figures import FaultsReport, Outcome
from faults.world import world
from steadyrag.evaluation.output import publish

SCENARIOS = (
    "matrix",
    "limits",
    "breakers",
    "herd",
    "hits",
    "caches",
    "deletes",
    "frozen",
    "crashes",
    "events",
)


@click.command()
@click.argument("only", nargs=-1, type=click.Choice(SCENARIOS))
@click.option("--pairs", is_flag=True, help="Every two faults at once too; takes minutes.")
@click.option(
    "--events", type=click.IntRange(40), default=2000, show_default=True, help="Of `events`."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
def main(only: tuple[str, ...], pairs: bool, events: int, out: Path | None) -> None:
    """Break everything, one thing after the other, and say what callers saw."""
    logging.getLogger("steadyrag").setLevel(logging.ERROR)  # lost stages are what is wanted
    load = round(os.getloadavg()[0], 2)
    outcomes = []
    with world(pairs=pairs, events=events) as around:
        for name in only or SCENARIOS:
            scenario = import_module(f"faults.{name}")
            started = time.monotonic()
            figures, tables = scenario.run(around)
            seconds = round(time.monotonic() - started, 1)
            outcomes.append(Outcome(name, figures, seconds, tables))
    report = FaultsReport(outcomes, load)
    publish(report, out)
    raise SystemExit(0 if report.met else 1)


if __name__ == "__main__":
    main()
