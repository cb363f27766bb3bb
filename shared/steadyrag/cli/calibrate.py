"""steadyrag calibrate FOLDER…"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from steadyrag.evaluation.dataset import Dataset
    from steadyrag.evaluation.output import Report
    from steadyrag.evaluation.workbench import Workbench
    from steadyrag.settings import Settings


@click.command("calibrate")
@click.argument("folders", metavar="FOLDER…", nargs=-1, type=click.Path(path_type=Path))
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
    """Fit the scores' calibration on the BEIR sets in the FOLDERs.

    Prints the coefficients fitted on all sets, and how well each set's scores hold when it was
    left out of the fit. The questions of one set are foreign to the others; the local reranker
    needs two at least. For a hosted one it says first how many calls it will pay for, and prints
    the line that STEADYRAG_RERANK_CALIBRATION takes.
    """
    from steadyrag.domain.errors import ConfigError, SteadyragError
    from steadyrag.evaluation.dataset import BrokenDataset, limited, read_dataset
    from steadyrag.evaluation.output import publish
    from steadyrag.settings import load

    settings = load()
    hosted = settings.reranker == "pinecone"
    if hosted and keyword_only:
        raise click.UsageError("--keyword-only: a hosted model's scores know no search.")
    if not folders:
        raise click.UsageError("Name a BEIR folder with your own questions.")
    if len(folders) < 2 and not hosted:
        raise click.UsageError("Two sets at least: one's questions are foreign to the other.")
    try:
        datasets = [read_dataset(folder) for folder in folders]
        if limit is not None:
            datasets = [limited(dataset, limit) for dataset in datasets]
    except BrokenDataset as error:
        raise click.BadParameter(str(error), param_hint="FOLDER") from None
    if len({dataset.name for dataset in datasets}) < len(datasets):
        raise click.BadParameter("the folders need different names", param_hint="FOLDER")
    if len({dataset.content_hash for dataset in datasets}) < len(datasets):
        raise click.BadParameter(
            "two of them hold the same documents, so their questions are not foreign to each "
            "other; put them into one queries.jsonl",
            param_hint="FOLDER",
        )
    try:
        report = asyncio.run(
            _run_hosted(datasets, settings) if hosted else _run(datasets, settings, keyword_only)
        )
    except ConfigError:
        raise
    except SteadyragError as error:
        raise click.ClickException(str(error)) from None
    publish(report, out)


async def _run(datasets: Sequence[Dataset], settings: Settings, keyword_only: bool) -> Report:
    from steadyrag.calibrate import Example
    from steadyrag.evaluation.calibrating import examples_of, report

    examples: list[Example] = []
    for dataset in datasets:
        others = [other for other in datasets if other is not dataset]
        async with _taken_in(dataset, settings) as bench:
            examples += await examples_of(dataset, others, bench, keyword_only=keyword_only)
    return report(examples)


async def _run_hosted(datasets: Sequence[Dataset], settings: Settings) -> Report:
    from steadyrag.calibrate import Example
    from steadyrag.evaluation.calibrating_hosted import (
        hosted_examples_of,
        hosted_report,
        rerank_calls,
    )
    from steadyrag.fit_platt import enough
    from steadyrag.wiring.parts import prices

    enough(sum(len(dataset.questions) for dataset in datasets))
    calls = rerank_calls(datasets)
    click.echo(
        f"This asks {settings.rerank_model} {calls:,} times, for about "
        f"${calls * prices(settings).rerank_usd:.2f}, and embeds "
        f"{sum(len(dataset.texts) for dataset in datasets):,} documents and their questions.",
        err=True,
    )
    examples: list[Example] = []
    for dataset in datasets:
        async with _taken_in(dataset, settings) as bench:
            examples += await hosted_examples_of(dataset, datasets, bench)
    return hosted_report(examples, settings.rerank_model)


@asynccontextmanager
async def _taken_in(dataset: Dataset, settings: Settings) -> AsyncIterator[Workbench]:
    """The service with the set in its index."""
    from steadyrag.evaluation.workbench import (
        open_workbench,
        take_in,
        visible_chunks,
        workbench_name,
    )

    vectors = settings.data_dir / "vectors.sqlite"
    bench = open_workbench(settings, workbench_name(dataset, settings), vectors=vectors)
    try:
        summary = await take_in(dataset, bench, f"Taking in {dataset.name}")
        await visible_chunks(bench, summary)
        yield bench
    finally:
        await bench.aclose()
