"""`make drill [ONLY="errors down"] [OUT=file.json]`"""

import logging
import os
import sys
import time
from pathlib import Path

import click

from drills.drills import DRILLS
from drills.healthy import HOURS, two_days
from drills.paging import send
from drills.report import DrillReport, topic
from drills.running import run_drill
from steadyrag.evaluation.output import publish
from steadyrag.monitoring.cloudformation import UnreadableTemplate
from steadyrag.monitoring.template import read_alarms

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".aws-sam" / "build" / "template.yaml"


@click.command()
@click.argument("only", nargs=-1, type=click.Choice(sorted({one.alarm for one in DRILLS})))
@click.option("--template", type=click.Path(path_type=Path), default=BUILT)
@click.option("--hours", type=click.IntRange(1, 48), default=HOURS, help="Healthy ones.")
@click.option("--healthy/--no-healthy", default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the traffic.")
@click.option("--page/--no-page", default=True, help="Whether `down` pages somebody.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
def main(
    only: tuple[str, ...],
    template: Path,
    hours: int,
    healthy: bool,
    seed: int,
    page: bool,
    out: Path | None,
) -> None:
    """Make every alarm fire, and see that all of them keep quiet on healthy days."""
    logging.getLogger("steadyrag").setLevel(logging.CRITICAL)  # failures are what is wanted
    if not template.is_file():
        raise click.ClickException(f"{template} is not there: make build")
    try:
        alarms = read_alarms(template)
    except UnreadableTemplate as error:
        raise click.ClickException(str(error)) from None
    load, began = round(os.getloadavg()[0], 2), time.perf_counter()
    names = {alarm.name for alarm in alarms}
    drilled = {one.alarm for one in DRILLS}
    ran = []
    for drill in DRILLS:
        if drill.alarm in names and (not only or drill.alarm in only):
            _progress(f"{drill.alarm}: {drill.fault}")
            ran.append(run_drill(drill, alarms, seed=seed))
    quiet = None
    if healthy:
        _progress(f"{hours} healthy hours")
        quiet = two_days(alarms, hours=hours, seed=seed)
    pages = None
    if page and any(one.drill.alarm == "down" for one in ran):
        _progress("page")
        (down,) = [one for one in ran if one.drill.alarm == "down"]
        pagers = {alarm.name for alarm in alarms if topic(alarm) == "page"}
        told = [t for t in down.transitions if t.new == "ALARM" and t.name in pagers]
        pages = send(alarms, told)
    report = DrillReport(
        ran,
        quiet,
        pages,
        undrilled=sorted(names - drilled),
        unknown=[] if only else sorted(drilled - names),
        seconds=round(time.perf_counter() - began, 1),
        cpu_seconds=round(time.process_time(), 1),
        template=str(template.relative_to(ROOT) if template.is_relative_to(ROOT) else template),
        load=load,
    )
    publish(report, out)
    raise SystemExit(1 if report.problems else 0)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(text, err=True)


if __name__ == "__main__":
    main()
