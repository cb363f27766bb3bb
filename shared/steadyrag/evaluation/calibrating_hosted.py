"""The run behind `steadyrag calibrate` for a hosted reranker: say what it costs, ask each set's
questions once, fit, check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from steadyrag.calibrate import Check, Example, Judged, Rank, check
from steadyrag.domain.errors import DependencyError, Refused
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import Hit
from steadyrag.domain.platt import Fitted
from steadyrag.evaluation.calibrating import (
    StageLost,
    errors_table,
    ranker,
    reliability_tables,
)
from steadyrag.evaluation.dataset import Dataset
from steadyrag.evaluation.workbench import Workbench
from steadyrag.fit_platt import fit_platt, gather_once, left_out
from steadyrag.progress import progress

FOREIGN = 50
"""Most questions taken from the other sets. They weigh the same however many there are, and each
is paid for."""
WAITS_S = (1.0, 5.0, 20.0, 60.0)
"""Between tries of one question: what was asked until then is paid for."""

HOLDS = 0.1
"""Largest ECE of first sources that is passed over in silence."""

ONE_SET = (
    "There is one set: nothing foreign was asked, and it was checked a fifth of its questions at a "
    "time, which tells less than questions that come from elsewhere. Name a second folder, with "
    "the questions and documents of another team or subject."
)


def foreign_to(dataset: Dataset, datasets: Sequence[Dataset]) -> list[str]:
    """Questions of the other sets."""
    found = [q.text for other in datasets if other is not dataset for q in other.questions]
    return found[:: max(1, -(-len(found) // FOREIGN))]


def rerank_calls(datasets: Sequence[Dataset]) -> int:
    """How many calls of the reranker a fit makes at most, if each works at once."""
    return sum(len(d.questions) + len(foreign_to(d, datasets)) for d in datasets)


async def hosted_examples_of(
    dataset: Dataset, datasets: Sequence[Dataset], bench: Workbench
) -> list[Example]:
    """The set must be in the bench's index."""
    foreign = foreign_to(dataset, datasets)
    questions = [Judged(q.text, q.relevant) for q in dataset.questions]
    rank = patient(ranker(bench.service, bench.namespace, keyword_only=False))
    found: list[Example] = []
    with progress(f"Asking {dataset.name}") as advance:
        async for example in gather_once(dataset.name, questions, foreign, rank):
            found.append(example)
            advance(len(found), 2 * len(questions) + len(foreign))
    return found


def patient(rank: Rank, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> Rank:
    """`rank` that waits and tries again while a vendor fails or asks to slow down, for a minute
    and a half; what is refused stays so."""

    async def tried(text: str, condition: Filter) -> Sequence[Hit]:
        for wait_s in WAITS_S:
            try:
                return await rank(text, condition)
            except Refused:
                raise
            except DependencyError as error:
                await sleep(min(max(wait_s, error.retry_after_s or 0.0), WAITS_S[-1]))
            except StageLost:
                await sleep(wait_s)
        return await rank(text, condition)

    return tried


@dataclass(frozen=True, slots=True)
class HostedReport:
    """`held_out` is each set, or a fifth of its questions at a time, under the fit of the rest;
    `fitted` under the fit of all."""

    calibration: Fitted
    held_out: Sequence[Check]
    fitted: Sequence[Check]

    def as_json(self) -> dict[str, Any]:
        return {
            "command": "calibrate",
            "setting": str(self.calibration),
            "calibration": asdict(self.calibration),
            "held_out": [asdict(found) for found in self.held_out],
            "fitted": [asdict(found) for found in self.fitted],
        }

    def rendered(self) -> RenderableType:
        return Group(
            "For a shell:",
            _line(f"STEADYRAG_RERANK_CALIBRATION={self.calibration}"),
            "For a stack, among the parameter_overrides in samconfig.toml:",
            _line(f'"RerankCalibration={self.calibration}",'),
            "",
            "Each set, left out of the fit:",
            errors_table(self.held_out),
            *self._notes(),
            "",
            "Each set under the fit of all:",
            errors_table(self.fitted),
            *(part for found in self.held_out for part in reliability_tables(found)),
        )

    def _notes(self) -> list[RenderableType]:
        notes = [ONE_SET] if len(self.held_out) == 1 else []
        for found in self.held_out:
            if found.calibration is None and len(self.held_out) > 1:
                notes.append(
                    f"Without {found.collection} the other sets are too little for a fit: it was "
                    "checked a fifth of its questions at a time."
                )
            if found.first.error > HOLDS:
                notes.append(
                    f"Scores of {found.collection}'s first sources were off by "
                    f"{found.first.error:.2f} on average: bring more questions, like those that "
                    "are asked, before an alarm relies on them."
                )
        return [Text(note) for note in notes]


def _line(text: str) -> Text:
    """To be copied, so never broken."""
    return Text(text, no_wrap=True, overflow="ignore")


def hosted_report(examples: Sequence[Example], model: str) -> HostedReport:
    """Raises `CannotCalibrate` where the examples don't suffice."""
    platt = fit_platt(examples)
    by_set: dict[str, list[Example]] = {}
    for example in examples:
        by_set.setdefault(example.collection, []).append(example)
    return HostedReport(
        Fitted(model, platt),
        left_out(examples),
        [check(platt, held) for held in by_set.values()],
    )
