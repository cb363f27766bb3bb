"""Figures for rankings: nDCG, recall, MRR, and a bootstrap to compare them by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steadyrag.evaluation.dataset import GoldQuestion

CUTOFF = 10
RESAMPLES = 10_000
SEED = 20_261_123

type Ranked = Mapping[str, Sequence[str]]
"""Document ids, best first, by question id."""


@dataclass(frozen=True, slots=True)
class Judged:
    """How good one ranking is, by question in the order of the questions, each in [0, 1]."""

    ndcg: Sequence[float]
    recall: Sequence[float]
    mrr: Sequence[float]


def judge(questions: Sequence[GoldQuestion], ranked: Ranked) -> Judged:
    """nDCG@10, recall@10 and MRR@10 by `ir_measures`; a question without a ranking gets 0."""
    import ir_measures
    from ir_measures import RR, R, nDCG

    qrels = [
        ir_measures.Qrel(question.id, document, grade)
        for question in questions
        for document, grade in question.judged.items()
    ]
    # Places stand in for scores: equal scores would be reordered by document id.
    run = [
        ir_measures.ScoredDoc(question, document, -float(place))
        for question, documents in ranked.items()
        for place, document in enumerate(documents[:CUTOFF])
    ]
    measures = {"ndcg": nDCG @ CUTOFF, "recall": R @ CUTOFF, "mrr": RR @ CUTOFF}
    found: dict[tuple[str, str], float] = {}
    for metric in ir_measures.iter_calc(list(measures.values()), qrels, run):
        found[str(metric.measure), metric.query_id] = metric.value
    return Judged(
        **{
            name: [found.get((str(measure), question.id), 0.0) for question in questions]
            for name, measure in measures.items()
        }
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_bootstrap(
    better: Sequence[float], worse: Sequence[float], *, resamples: int = RESAMPLES, seed: int = SEED
) -> Interval:
    """Mean of `better` - `worse` over questions; the interval is the percentile bootstrap's,
    resampling questions with both of their values."""
    import numpy as np

    gains = np.asarray(better) - np.asarray(worse)
    # Resampling n questions is drawing how often each is taken, which is multinomial.
    draws = np.random.default_rng(seed).multinomial(
        len(gains), np.full(len(gains), 1 / len(gains)), size=resamples
    )
    low, high = np.percentile(draws @ gains / len(gains), (2.5, 97.5))
    return Interval(float(gains.mean()), float(low), float(high))
