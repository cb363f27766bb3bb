"""Fits a reranker's calibration on questions whose relevant documents are known.

A deployed service is asked things that its documents do not answer, searches under filters,
and starts out small. So every question is asked several times:

    answerable      of the whole collection
    unanswerable    of the collection without its relevant documents
    few             of a handful of documents, with and without a relevant one
    foreign         questions that belong to another collection

and the logistic regression (weighted, Newton's method) sees each kind in a fixed share.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Literal, Protocol, runtime_checkable

from steadyrag.domain.calibration import Background, Calibration
from steadyrag.domain.errors import SteadyragError
from steadyrag.domain.filters import Filter, parse_filter
from steadyrag.domain.models import Hit, Question
from steadyrag.domain.platt import Platt

Kind = Literal["answerable", "unanswerable", "few", "few_unanswerable", "foreign"]

SHARES: Mapping[Kind, float] = {
    "answerable": 0.60,
    "few": 0.30,
    "unanswerable": 0.03,
    "few_unanswerable": 0.02,
    "foreign": 0.05,
}
"""What each kind weighs in the fit: nine questions in ten have an answer."""

SHOWN = 5
"""Hits of a question that count: those a search shows."""
BACKGROUND_WEIGHT = 20
FEW = (1, 3, 10, 30)
"""Sizes of the small collections."""
BINS = 10


@runtime_checkable
class Calibratable(Protocol):
    """A reranker that tells the scores behind its probabilities."""

    async def rank_uncalibrated(self, question: Question, hits: Sequence[Hit]) -> list[Hit]:
        """All hits, best first, with raw scores."""


type Rank = Callable[[str, Filter], Awaitable[Sequence[Hit]]]
"""All reranked candidates of a question under a filter on `document_id`, with raw scores."""


class CannotCalibrate(SteadyragError):
    """The questions do not suffice; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A question and the ids of its relevant documents."""

    text: str
    relevant: frozenset[str]


@dataclass(frozen=True, slots=True)
class Example:
    """What a question brought back: raw scores of all candidates, best first, and which of
    them are relevant. `collection` is where it was asked."""

    collection: str
    kind: Kind
    scores: tuple[float, ...]
    relevant: tuple[bool, ...]


async def gather(
    collection: str,
    questions: Sequence[Judged],
    foreign: Sequence[str],
    document_ids: Sequence[str],
    rank: Rank,
    *,
    seed: int = 0,
) -> AsyncIterator[Example]:
    """Asks each question in every way. The documents of a small collection are a relevant one
    or none, some that the question finds in the whole collection, and most of them at random."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    for place, question in enumerate(questions):
        gold = question.relevant
        whole = await rank(question.text, Filter())
        yield example_of(collection, "answerable", whole, gold)
        size = FEW[place % len(FEW)]
        near = [hit.chunk.document_id for hit in whole]
        far = chance.sample(document_ids, min(size + len(gold), len(document_ids)))
        others = [i for i in dict.fromkeys([*near[: size // 3], *far]) if i not in gold][:size]
        narrowed: list[tuple[Kind, Mapping[str, object]]] = [
            ("unanswerable", {"$nin": sorted(gold)}),
            ("few", {"$in": [min(gold), *others[: size - 1]]}),
            ("few_unanswerable", {"$in": others or [""]}),
        ]
        for kind, condition in narrowed:
            hits = await rank(question.text, parse_filter({"document_id": condition}))
            yield example_of(collection, kind, hits, gold)
    for text in foreign:
        yield example_of(collection, "foreign", await rank(text, Filter()), frozenset())


def example_of(collection: str, kind: Kind, hits: Sequence[Hit], gold: frozenset[str]) -> Example:
    """`hits` are best first; those of the documents `gold` are relevant."""
    return Example(
        collection,
        kind,
        tuple(hit.score for hit in hits),
        tuple(hit.chunk.document_id in gold for hit in hits),
    )


def fit(examples: Sequence[Example]) -> Calibration:
    """Each collection weighs the same. Raises `CannotCalibrate` without foreign questions, or
    where nothing tells relevant from irrelevant."""
    import numpy as np

    examples = [example for example in examples if example.scores]
    background = background_of(examples)
    counts = Counter((example.collection, example.kind) for example in examples)
    rows: list[tuple[float, float, float]] = []
    labels: list[bool] = []
    weights: list[float] = []
    for example in examples:
        z = background.standardised(example.scores)
        weight = SHARES[example.kind] / counts[example.collection, example.kind]
        for standardised, relevant in zip(z[:SHOWN], example.relevant[:SHOWN], strict=True):
            rows.append((1.0, z[0], standardised - z[0]))
            labels.append(relevant)
            weights.append(weight)
    if not any(labels):
        raise CannotCalibrate("no question found a relevant document")
    x, y, w = np.array(rows), np.array(labels, float), np.array(weights)
    w *= len(w) / w.sum()
    # The ridge keeps a set that can be told apart without a mistake from running away.
    coefficients, ridge = np.zeros(3), 0.1
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ coefficients))
        gradient = x.T @ (w * (p - y)) + ridge * coefficients
        curvature = (x * (w * p * (1 - p))[:, None]).T @ x + ridge * np.eye(3)
        step = np.linalg.solve(curvature, gradient)
        coefficients -= step
        if np.abs(step).max() < 1e-9:
            break
    intercept, best, below = (round(float(c), 3) for c in coefficients)
    if best <= 0 or below <= 0:
        raise CannotCalibrate("the scores do not tell relevant documents from others")
    return Calibration(background, intercept, best, below)


def background_of(examples: Sequence[Example]) -> Background:
    """The best score that nine in ten foreign questions stay below, averaged over collections;
    the spread is the standard deviation of such best scores."""
    best: dict[str, list[float]] = {}
    for example in examples:
        if example.kind == "foreign" and example.scores:
            best.setdefault(example.collection, []).append(example.scores[0])
    if not best:
        raise CannotCalibrate("no foreign question found anything")
    levels = [sorted(scores)[int(0.9 * (len(scores) - 1))] for scores in best.values()]
    spread = fmean(pstdev(scores) for scores in best.values())
    return Background(round(fmean(levels), 3), max(0.001, round(spread, 3)), BACKGROUND_WEIGHT)


@dataclass(frozen=True, slots=True)
class Bin:
    """Scores in one tenth of the scale: their share of all, their mean, and how many of them
    were relevant."""

    share: float
    score: float
    relevant: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """`error` is the expected calibration error (Guo et al., 2017): the mean distance of score
    and share of relevant ones, over ten bins of equal width, weighted by the bins' share."""

    error: float
    score: float
    relevant: float
    bins: Sequence[Bin]


@dataclass(frozen=True, slots=True)
class Check:
    """A calibration on a collection: of the first hit and of all shown hits of answerable
    questions, and of the first hit over all kinds in their shares. `calibration` is None where
    each part of the collection had one of its own."""

    collection: str
    calibration: Calibration | Platt | None
    first: Reliability
    shown: Reliability
    mixed: Reliability
    by_kind: Mapping[Kind, float]
    """Mean score of the first hit."""


def check(calibration: Calibration | Platt, examples: Sequence[Example]) -> Check:
    """`examples` are of one collection and hold all kinds that it was asked."""
    return check_scored([(e, calibration.probabilities(e.scores)) for e in examples], calibration)


def check_scored(
    examples: Sequence[tuple[Example, Sequence[float]]], calibration: Calibration | Platt | None
) -> Check:
    """Examples with the probabilities of their hits."""
    scored = [(e, p) for e, p in examples if p]
    counts = Counter(example.kind for example, _ in scored)
    answerable = [pair for pair in scored if pair[0].kind == "answerable"]
    return Check(
        collection=examples[0][0].collection,
        calibration=calibration,
        first=reliability([(p[0], e.relevant[0], 1.0) for e, p in answerable]),
        shown=reliability(
            [
                (score, relevant, 1.0)
                for e, p in answerable
                for score, relevant in zip(p[:SHOWN], e.relevant[:SHOWN], strict=True)
            ]
        ),
        mixed=reliability(
            [(p[0], e.relevant[0], SHARES[e.kind] / counts[e.kind]) for e, p in scored]
        ),
        by_kind={kind: fmean(p[0] for e, p in scored if e.kind == kind) for kind in counts},
    )


def cross_check(examples: Sequence[Example]) -> list[Check]:
    """Each collection under the calibration that all the others fit."""
    return [
        check(
            fit([example for example in examples if example.collection != held_out]),
            [example for example in examples if example.collection == held_out],
        )
        for held_out in dict.fromkeys(example.collection for example in examples)
    ]


def reliability(judged: Sequence[tuple[float, bool, float]]) -> Reliability:
    """Of (score in [0, 1], relevant, weight); not empty."""
    total = sum(weight for _, _, weight in judged)
    sorted_in: dict[int, list[tuple[float, bool, float]]] = {}
    for entry in judged:
        sorted_in.setdefault(min(int(entry[0] * BINS), BINS - 1), []).append(entry)
    bins = [_bin(sorted_in[place], total) for place in sorted(sorted_in)]
    return Reliability(
        error=sum(b.share * abs(b.score - b.relevant) for b in bins),
        score=sum(b.share * b.score for b in bins),
        relevant=sum(b.share * b.relevant for b in bins),
        bins=bins,
    )


def _bin(judged: Sequence[tuple[float, bool, float]], total: float) -> Bin:
    held = sum(weight for _, _, weight in judged)
    return Bin(
        share=held / total,
        score=sum(score * weight for score, _, weight in judged) / held,
        relevant=sum(weight for _, relevant, weight in judged if relevant) / held,
    )
