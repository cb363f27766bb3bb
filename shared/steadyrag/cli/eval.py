"""steadyrag eval FOLDER"""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from steadyrag.evaluation.dataset import Dataset
    from steadyrag.evaluation.report import EvalReport
    from steadyrag.settings import Settings


@click.command("eval")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1),
    help="Only N documents: judged ones first, then by SHA-256 of their id.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the figures to FILE as JSON.",
)
@click.option(
    "--min-ndcg",
    metavar="X",
    type=click.FloatRange(0, 1),
    help="Exit with 1 when the full pipeline's nDCG@10 is under X.",
)
@click.option(
    "--answers/--no-answers",
    default=None,
    help="Write answers where the set has gold ones. Default: only if that costs nothing.",
)
def command(
    folder: Path, limit: int | None, out: Path | None, min_ndcg: float | None, answers: bool | None
) -> None:
    """Measure retrieval and answer quality on the BEIR set in FOLDER.

    Documents go through the same ingest and questions through the same pipeline as ever, in
    an index of their own below STEADYRAG_DATA_DIR. Vectors are cached by content.
    """
    from steadyrag.domain.errors import ConfigError, SteadyragError
    from steadyrag.evaluation.dataset import BrokenDataset, limited, read_dataset
    from steadyrag.evaluation.output import publish
    from steadyrag.settings import load

    if find_spec("ir_measures") is None:
        raise click.ClickException("the metrics are not installed; `make eval` installs them")
    settings = load()
    if out is not None and not out.absolute().parent.is_dir():
        raise click.BadParameter(f"{out.parent} is not a folder", param_hint="--out")
    try:
        dataset = read_dataset(folder)
        dataset = limited(dataset, limit) if limit is not None else dataset
    except BrokenDataset as error:
        raise click.BadParameter(str(error), param_hint="FOLDER") from None
    try:
        report = asyncio.run(_run(dataset, settings, answers))
    except ConfigError:
        raise
    except SteadyragError as error:
        raise click.ClickException(str(error)) from None
    publish(report, out)
    if min_ndcg is not None and report.quality.full.ndcg < min_ndcg:
        click.echo(f"nDCG@10 {report.quality.full.ndcg:.4f} is under {min_ndcg:g}", err=True)
        sys.exit(1)


async def _run(dataset: Dataset, settings: Settings, answers: bool | None) -> EvalReport:
    from steadyrag.evaluation.evaluate import configured_name, evaluate
    from steadyrag.evaluation.provenance import provenance
    from steadyrag.evaluation.report import EvalReport
    from steadyrag.evaluation.workbench import open_workbench, workbench_name

    with_answers = sum(bool(question.answers) for question in dataset.questions)
    is_free = settings.generator == "local"
    wanted = is_free if answers is None else answers
    notes: list[str] = []
    if with_answers and not wanted and answers is None:
        notes.append(
            f"answers were not measured: {with_answers:,} calls of {settings.chat_model} "
            "cost money; pass --answers to make them"
        )
    bench = open_workbench(
        settings, workbench_name(dataset, settings), vectors=settings.data_dir / "vectors.sqlite"
    )
    try:
        ran_on = provenance(dataset, settings, bench.service)
        found = await evaluate(dataset, bench, answers=wanted)
        configured = configured_name(bench.service)
    finally:
        await bench.aclose()
    if found.failed:
        document, reason = found.failed[0]
        notes.append(
            f"{len(found.failed):,} documents could not be taken in, such as {document}: {reason}"
        )
    return EvalReport(ran_on.with_chunks(found.chunks), configured, found.quality, tuple(notes))
