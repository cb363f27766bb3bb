"""steadyrag bench FOLDER"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from steadyrag.evaluation.bench_report import BenchReport
    from steadyrag.evaluation.dataset import Dataset
    from steadyrag.settings import Settings


@click.command("bench")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the figures to FILE as JSON.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 when a bar of the project is missed.")
def command(folder: Path, out: Path | None, strict: bool) -> None:
    """Measure ingest time and search latency of the embedded default on a BEIR set.

    Uses the local adapters whatever the settings say, no cached vectors, and a folder of its
    own that is gone afterwards.
    """
    from steadyrag.domain.errors import ConfigError, SteadyragError
    from steadyrag.evaluation.dataset import BrokenDataset, read_dataset
    from steadyrag.evaluation.output import publish
    from steadyrag.settings import load

    if out is not None and not out.absolute().parent.is_dir():
        raise click.BadParameter(f"{out.parent} is not a folder", param_hint="--out")
    local = dict.fromkeys(("embedder", "index", "reranker", "generator"), "local")
    settings = load().model_copy(update=local)
    try:
        dataset = read_dataset(folder)
    except BrokenDataset as error:
        raise click.BadParameter(str(error), param_hint="FOLDER") from None
    try:
        report = asyncio.run(_run(dataset, settings))
    except ConfigError:
        raise
    except SteadyragError as error:
        raise click.ClickException(str(error)) from None
    publish(report, out)
    if strict and not all(bar.met for bar in report.bars):
        sys.exit(1)


async def _run(dataset: Dataset, settings: Settings) -> BenchReport:
    from steadyrag.evaluation.bench_report import BenchReport
    from steadyrag.evaluation.benchmark import benchmark
    from steadyrag.evaluation.provenance import provenance
    from steadyrag.evaluation.workbench import open_workbench

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.data_dir) as folder:
        own = settings.model_copy(update={"data_dir": Path(folder)})
        bench = open_workbench(own, "bench", vectors=None)
        ran_on = provenance(dataset, own, bench.service)
        await bench.aclose()
        found = await benchmark(dataset, lambda: open_workbench(own, "bench", vectors=None))
    return BenchReport(
        ran_on=ran_on.with_chunks(found.chunks),
        ingest_s=found.ingest_s,
        ingest_cpu_s=found.ingest_cpu_s,
        reingest_s=found.reingest_s,
        open_s=found.open_s,
        latencies=found.latencies,
    )
