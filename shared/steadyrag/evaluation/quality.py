"""The outcomes of all questions, summed up: one row a ranking, and what else a user feels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from steadyrag.calibrate import Reliability, reliability
from steadyrag.evaluation.metrics import Interval, Judged, judge, paired_bootstrap
from steadyrag.evaluation.questions import BM25, DENSE, FULL, FUSIONS, ROWS, Outcome


@dataclass(frozen=True, slots=True)
class Row:
    """One ranking's quality, means over the questions."""

    name: str
    ndcg: float
    recall: float
    mrr: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Hybrid:
    """What fusion is worth: the best fusion's nDCG@10 over the better single search's."""

    fusion: str
    single: str
    gain: Interval


@dataclass(frozen=True, slots=True)
class Answers:
    """Shares of the questions whose gold answer is in the sources, in what the generator
    read, and in what it wrote; for all, and for those where a relevant document holds the
    answer word for word."""

    questions: int
    sources: float
    context: float
    answer: float
    literal_questions: int
    literal_sources: float
    literal_context: float
    literal_answer: float


@dataclass(frozen=True, slots=True)
class Quality:
    """All figures of one run. `calibration` is of the first sources' scores; `lost` counts
    questions by the stage they lost."""

    rows: Sequence[Row]
    hybrid: Hybrid
    answers: Answers | None
    calibration: Reliability | None
    lost: Mapping[str, int]

    @property
    def full(self) -> Row:
        return next(row for row in self.rows if row.name == FULL)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def sum_up(outcomes: Sequence[Outcome]) -> Quality:
    """`outcomes` is not empty."""
    judged = {name: _judged(name, outcomes) for name in ROWS}
    return Quality(
        rows=[_row(name, judged[name], outcomes) for name in ROWS],
        hybrid=_hybrid(judged),
        answers=_answers(outcomes),
        calibration=_calibration(outcomes),
        lost=dict(Counter(stage for outcome in outcomes for stage in dict.fromkeys(outcome.lost))),
    )


def _judged(name: str, outcomes: Sequence[Outcome]) -> Judged:
    return judge(
        [outcome.question for outcome in outcomes],
        {outcome.question.id: outcome.ranked[name] for outcome in outcomes},
    )


def _row(name: str, judged: Judged, outcomes: Sequence[Outcome]) -> Row:
    return Row(
        name=name,
        ndcg=fmean(judged.ndcg),
        recall=fmean(judged.recall),
        mrr=fmean(judged.mrr),
        latency_ms=median(outcome.latency_ms[name] for outcome in outcomes),
    )


def _hybrid(judged: Mapping[str, Judged]) -> Hybrid:
    fusion = max(FUSIONS, key=lambda name: fmean(judged[name].ndcg))
    single = max((BM25, DENSE), key=lambda name: fmean(judged[name].ndcg))
    return Hybrid(fusion, single, paired_bootstrap(judged[fusion].ndcg, judged[single].ndcg))


def _answers(outcomes: Sequence[Outcome]) -> Answers | None:
    sightings = [outcome.sighting for outcome in outcomes if outcome.sighting is not None]
    if not sightings:
        return None
    literal = [sighting for sighting in sightings if sighting.literal]
    return Answers(
        questions=len(sightings),
        sources=_share([s.sources for s in sightings]),
        context=_share([s.context for s in sightings]),
        answer=_share([s.answer for s in sightings]),
        literal_questions=len(literal),
        literal_sources=_share([s.sources for s in literal]),
        literal_context=_share([s.context for s in literal]),
        literal_answer=_share([s.answer for s in literal]),
    )


def _share(found: Sequence[bool]) -> float:
    return fmean(found) if found else 0.0


def _calibration(outcomes: Sequence[Outcome]) -> Reliability | None:
    """None where no score claims to be a probability."""
    judged = [
        (outcome.top_score, outcome.ranked[FULL][0] in outcome.question.relevant, 1.0)
        for outcome in outcomes
        if outcome.calibrated and outcome.top_score is not None
    ]
    return reliability(judged) if judged else None
