"""steadyrag calibrate FOLDER FOLDER…"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steadyrag.evaluation.calibrating import CalibrationReport
    from steadyrag.evaluation.dataset import Dataset
    from steadyrag.settings import Settings


@click.command("calibrate")
@click.argument("folders", metavar="FOLDER FOLDER…", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1),
    help="Only N documents of each set: judged ones first, then by SHA-256 of their id.",
)
@click.option("--keyword-only", is_flag=True, help="Fit the scores of keyword search alone.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the figures to FILE as JSON.",
)
def command(
    folders: tuple[Path, ...], limit: int | None, keyword_only: bool, out: Path | None
) -> None:
    """Fit the scores' calibration on the BEIR sets in the FOLDERs, two or more.

    The questions of one set are foreign to the others. Prints the coefficients fitted on all
    sets, and how well each set's scores hold when it was left out of the fit.
    """
    from steadyrag.domain.errors import ConfigError, SteadyragError
    from steadyrag.evaluation.dataset import BrokenDataset, limited, read_dataset
    from steadyrag.evaluation.output import publish
    from steadyrag.settings import load

    if len(folders) < 2:
        raise click.UsageError("Two sets at least: one's questions are foreign to the other.")
    settings = load()
    try:
        datasets = [read_dataset(folder) for folder in folders]
        if limit is not None:
            datasets = [limited(dataset, limit) for dataset in datasets]
    except BrokenDataset as error:
        raise click.BadParameter(str(error), param_hint="FOLDER") from None
    if len({dataset.name for dataset in datasets}) < len(datasets):
        raise click.BadParameter("the folders need different names", param_hint="FOLDER")
    try:
        report = asyncio.run(_run(datasets, settings, keyword_only))
    except ConfigError:
        raise
    except SteadyragError as error:
        raise click.ClickException(str(error)) from None
    publish(report, out)


async def _run(
    datasets: Sequence[Dataset], settings: Settings, keyword_only: bool
) -> CalibrationReport:
    from steadyrag.calibrate import Example
    from steadyrag.evaluation.calibrating import examples_of, report
    from steadyrag.evaluation.workbench import (
        open_workbench,
        take_in,
        visible_chunks,
        workbench_name,
    )

    examples: list[Example] = []
    for dataset in datasets:
        others = [other for other in datasets if other is not dataset]
        vectors = settings.data_dir / "vectors.sqlite"
        bench = open_workbench(settings, workbench_name(dataset, settings), vectors=vectors)
        try:
            summary = await take_in(dataset, bench, f"Taking in {dataset.name}")
            await visible_chunks(bench, summary)
            examples += await examples_of(dataset, others, bench, keyword_only=keyword_only)
        finally:
            await bench.aclose()
    return report(examples)
