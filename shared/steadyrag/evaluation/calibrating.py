"""The run behind `steadyrag calibrate`: ask each set's questions in every way, fit, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steadyrag.calibrate import (
    SHARES,
    Calibratable,
    CannotCalibrate,
    Check,
    Example,
    Judged,
    Rank,
    check,
    cross_check,
    fit,
    gather,
)
from steadyrag.domain.calibration import Calibration
from steadyrag.domain.filters import Filter
from steadyrag.domain.fusion import fuse
from steadyrag.domain.models import Hit, Query
from steadyrag.evaluation.dataset import Dataset
from steadyrag.evaluation.workbench import Workbench
from steadyrag.progress import progress
from steadyrag.resilience.deadline import deadline
from steadyrag.resilience.run import Run
from steadyrag.search import Service, retrieve

FOREIGN = 300
"""Most questions taken from the other sets."""


class StageLost(CannotCalibrate):
    """A search failed, so what it brought back says nothing of the scores."""


async def examples_of(
    dataset: Dataset, others: Sequence[Dataset], bench: Workbench, *, keyword_only: bool
) -> list[Example]:
    """The set must be in the bench's index."""
    foreign = [question.text for other in others for question in other.questions]
    foreign = foreign[:: max(1, len(foreign) // FOREIGN)]
    questions = [Judged(q.text, q.relevant) for q in dataset.questions]
    total = 4 * len(questions) + len(foreign)
    found: list[Example] = []
    with progress(f"Asking {dataset.name}") as advance:
        asked = gather(
            dataset.name,
            questions,
            foreign,
            list(dataset.texts),
            ranker(bench.service, bench.namespace, keyword_only=keyword_only),
        )
        async for example in asked:
            found.append(example)
            advance(len(found), total)
    return found


def ranker(service: Service, namespace: str, *, keyword_only: bool) -> Rank:
    """The pipeline up to the reranker's raw scores; `keyword_only` as if embedding were lost."""
    options = service.options
    reranker: object = service.reranker
    if not isinstance(reranker, Calibratable):
        raise CannotCalibrate(
            "no reranker gives scores to calibrate: set STEADYRAG_RERANKER to local or pinecone"
        )

    async def rank(text: str, condition: Filter) -> Sequence[Hit]:
        run = Run()
        query = Query(text, namespace=namespace, filter=condition, generate=False)
        with deadline(service.options.deadline_s):
            found = await retrieve(query, service, run)
        if run.lost:
            raise StageLost(f"{', '.join(run.lost)} failed")
        dense = () if keyword_only else found.dense or ()
        question = replace(found.question, vector=None) if keyword_only else found.question
        fused = fuse(
            dense, found.keyword or (), method=options.fusion, dense_weight=options.dense_weight
        )
        return await reranker.rank_uncalibrated(question, fused[: options.rerank_candidates])

    return rank


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """`held_out` is each set under the fit of the others; `fitted` under the fit of all."""

    calibration: Calibration
    held_out: Sequence[Check]
    fitted: Sequence[Check]

    def as_json(self) -> dict[str, Any]:
        return {"command": "calibrate", **asdict(self)}

    def rendered(self) -> RenderableType:
        return Group(
            Text(f"fitted on all sets: {self.calibration}"),
            "",
            "Each set under the fit of the others:",
            errors_table(self.held_out),
            "",
            "Each set under the fit of all:",
            errors_table(self.fitted),
            *(part for found in self.held_out for part in reliability_tables(found)),
        )


def report(examples: Sequence[Example]) -> CalibrationReport:
    calibration = fit(examples)
    by_set: dict[str, list[Example]] = {}
    for example in examples:
        by_set.setdefault(example.collection, []).append(example)
    return CalibrationReport(
        calibration,
        cross_check(examples),
        [check(calibration, held) for held in by_set.values()],
    )


def errors_table(checks: Sequence[Check]) -> Table:
    """How far scores are from shares, a row for each set, and mean scores by what was asked."""
    kinds = [kind for kind in SHARES if any(kind in found.by_kind for found in checks)]
    table = Table(box=None, pad_edge=False)
    table.add_column("set")
    columns = ("ECE first", "score", "relevant", "ECE shown", "ECE all kinds")
    for column in (*columns, *(kind.replace("_", " ") for kind in kinds)):
        table.add_column(column, justify="right")
    for found in checks:
        figures = (
            found.first.error,
            found.first.score,
            found.first.relevant,
            found.shown.error,
            found.mixed.error,
            *(found.by_kind.get(kind) for kind in kinds),
        )
        shown = ("" if figure is None else f"{figure:.3f}" for figure in figures)
        table.add_row(found.collection, *shown)
    return table


def reliability_tables(found: Check) -> Sequence[RenderableType]:
    """Score and share of relevant first sources in each tenth of the scale."""
    table = Table(box=None, pad_edge=False)
    for column in ("share of questions", "mean score", "relevant"):
        table.add_column(column, justify="right")
    for part in found.first.bins:
        table.add_row(f"{part.share:.3f}", f"{part.score:.3f}", f"{part.relevant:.3f}")
    title = f"First sources of {found.collection}, left out of the fit:"
    return "", Text(title), table
