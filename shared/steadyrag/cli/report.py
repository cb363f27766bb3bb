"""steadyrag report --date DATE"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from datetime import date, datetime, timedelta

import click

KEPT_DAYS = 455
"""How long CloudWatch keeps metrics."""


@click.command("report")
@click.option("--date", "day", metavar="DATE", help="Such as 2026-11-24; default: yesterday.")
@click.option(
    "--stack",
    metavar="NAME",
    help="Of a deployed stack, with its settings, this shell's credentials and region.",
)
@click.option("--time-zone", metavar="ZONE", help="Where the day is counted, such as Asia/Seoul.")
def command(day: str | None, stack: str | None, time_zone: str | None) -> None:
    """Print the report of one day, as it is sent to the ticket topic.

    It is made from the metrics in CloudWatch, with the credentials and the region of this shell.
    Without --stack it is about STEADYRAG_SERVICE.
    """
    from steadyrag.domain.errors import DependencyError

    try:
        text = asyncio.run(_text(_read(day), stack, time_zone))
    except DependencyError as error:
        raise click.ClickException(
            f"{error}; check the region and the credentials of this shell, and that they may "
            "read CloudWatch"
        ) from None
    click.echo(text, nl=False)


async def _text(day: date | None, stack: str | None, zone_name: str | None) -> str:
    from steadyrag.report import daily_report
    from steadyrag.settings import load
    from steadyrag.wiring.bulk import stack_settings
    from steadyrag.wiring.report import build_report

    settings = await stack_settings(stack, function="report") if stack else load()
    if zone_name:
        settings = settings.model_copy(update={"report_time_zone": _known(zone_name)})
    async with aclosing(build_report(settings)) as parts:
        today = datetime.now(parts.zone).date()
        day = day or today - timedelta(days=1)
        if day >= today:
            raise click.BadParameter(
                f"{day} is not over yet in {parts.zone_name}; say a day before {today}",
                param_hint="--date",
            )
        if day <= today - timedelta(days=KEPT_DAYS):
            raise click.BadParameter(
                f"CloudWatch keeps metrics for {KEPT_DAYS} days; say a later day",
                param_hint="--date",
            )
        return (await daily_report(day, parts, now=time.time())).text()


def _read(day: str | None) -> date | None:
    try:
        return date.fromisoformat(day) if day else None
    except ValueError:
        raise click.BadParameter(
            f"{day!r} is no date; write it as 2026-11-24", param_hint="--date"
        ) from None


def _known(zone_name: str) -> str:
    from steadyrag.domain.local_days import time_zone

    try:
        time_zone(zone_name)
    except ValueError as error:
        raise click.BadParameter(f"{zone_name!r} {error}", param_hint="--time-zone") from None
    return zone_name
