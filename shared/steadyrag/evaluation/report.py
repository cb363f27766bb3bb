"""A run of `steadyrag eval` as a table for people and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steadyrag.evaluation.provenance import Provenance
from steadyrag.evaluation.quality import Answers, Quality
from steadyrag.evaluation.questions import FULL


@dataclass(frozen=True, slots=True)
class EvalReport:
    """`configured` is what the pipeline in use is called, such as `weighted+rerank`; `notes`
    are what a reader must know beside the figures."""

    ran_on: Provenance
    configured: str
    quality: Quality
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "command": "eval",
            "ran_on": self.ran_on.as_json(),
            "configured": self.configured,
            **self.quality.as_json(),
            "notes": list(self.notes),
        }

    def rendered(self) -> RenderableType:
        parts: list[RenderableType] = [*map(_plain, self.ran_on.lines()), "", self._rankings(), ""]
        hybrid = self.quality.hybrid
        gain = hybrid.gain
        parts.append(
            _plain(
                f"hybrid: {hybrid.fusion} - {hybrid.single} = {gain.mean:+.4f} nDCG@10 "
                f"(95 % interval {gain.low:+.4f} to {gain.high:+.4f})"
            )
        )
        if self.quality.calibration is not None:
            found = self.quality.calibration
            parts.append(
                _plain(
                    f"top-1: mean score {found.score:.3f}, relevant {found.relevant:.3f}, "
                    f"calibration error {found.error:.3f} (ECE, 10 bins)"
                )
            )
        else:
            parts.append(_plain("top-1: scores are not calibrated"))
        if self.quality.answers is not None:
            parts += ["", _answers(self.quality.answers)]
        for stage, questions in self.quality.lost.items():
            parts.append(
                Text(
                    f"{questions:,} questions lost the stage {stage!r}: not the full pipeline",
                    "red",
                )
            )
        parts += map(_plain, self.notes)
        return Group(*parts)

    def _rankings(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("ranking")
        for column in ("nDCG@10", "recall@10", "MRR@10", "ms"):
            table.add_column(column, justify="right")
        for row in self.quality.rows:
            full = row.name == FULL
            table.add_row(
                self.configured if full else row.name,
                f"{row.ndcg:.4f}",
                f"{row.recall:.4f}",
                f"{row.mrr:.4f}",
                f"{row.latency_ms:.1f}",
                style="bold" if full else "",
            )
        return table


def _answers(found: Answers) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("gold answer is in")
    for column in ("sources", "context", "answer"):
        table.add_column(column, justify="right")
    table.add_row(
        f"all {found.questions:,} questions with one",
        *(f"{share:.1%}" for share in (found.sources, found.context, found.answer)),
    )
    table.add_row(
        f"the {found.literal_questions:,} whose relevant document has it word for word",
        *(
            f"{share:.1%}"
            for share in (found.literal_sources, found.literal_context, found.literal_answer)
        ),
    )
    return table


def _plain(text: str) -> Text:
    """Text that rich must not read markup into."""
    return Text(text)
