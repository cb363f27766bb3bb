"""Fits a hosted reranker's calibration on questions whose relevant documents are known.

A hosted model is paid by the call and scores each passage on its own, so a question is asked
once: of the whole collection. What it would bring back without its relevant documents is read
off the same scores. Questions of other collections are asked too, where there are others.

    answerable      of the whole collection
    unanswerable    the same hits without the relevant ones
    foreign         questions that belong to another collection

Two logistic regressions with Platt's targets, short of 0 and 1, by Newton's method: of each
question's best passage, and of the others from where the first leaves off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from steadyrag.calibrate import (
    SHARES,
    SHOWN,
    CannotCalibrate,
    Check,
    Example,
    Judged,
    Rank,
    check,
    check_scored,
    example_of,
)
from steadyrag.domain.filters import Filter
from steadyrag.domain.platt import MOST, Platt, logit

type Floats = npt.NDArray[np.float64]

LEAST_QUESTIONS = 50
"""With as many the share of relevant first sources is known to about 0.07."""
LEAST_OF_EACH = 20
"""Shown passages that are relevant, and that are not."""
SURE = 2.0
"""Standard errors by which both slopes must be above 0, which chance alone makes of each one time
in 40."""
PARTS = 5
"""A collection that no other can be fitted without is checked a fifth at a time."""


async def gather_once(
    collection: str, questions: Sequence[Judged], foreign: Sequence[str], rank: Rank
) -> AsyncIterator[Example]:
    """One call of `rank` for each question and each foreign one; two examples for the former."""
    for question in questions:
        hits = await rank(question.text, Filter())
        gold = question.relevant
        yield example_of(collection, "answerable", hits, gold)
        others = [hit for hit in hits if hit.chunk.document_id not in gold]
        yield example_of(collection, "unanswerable", others, gold)
    for text in foreign:
        yield example_of(collection, "foreign", await rank(text, Filter()), frozenset())


@dataclass(frozen=True, slots=True)
class _Rows:
    """Passages: (n, k) features, what their coefficients come on top of, whether each is
    relevant, its weight, and the number of the example it is of."""

    x: Floats
    base: Floats
    relevant: Floats
    weight: Floats
    example: npt.NDArray[np.int64]

    def targets(self) -> Floats:
        """What each is fitted to: short of 1 and 0, as Platt has it, so that scores which never
        err don't make a slope without end."""
        relevant = float(self.weight @ self.relevant)
        others = float(self.weight.sum()) - relevant
        return np.where(self.relevant > 0, (relevant + 1) / (relevant + 2), 1 / (others + 2))

    def chosen(self, which: npt.NDArray[np.bool_], x: Floats, base: Floats) -> _Rows:
        """Some of them with other features; their weights are 1 on average."""
        weight = self.weight[which] / self.weight[which].mean()
        return _Rows(x[which], base[which], self.relevant[which], weight, self.example[which])


def enough(questions: int) -> None:
    """Raises `CannotCalibrate` for fewer judged questions than a fit takes; ask this before
    calls are paid for."""
    if questions < LEAST_QUESTIONS:
        raise CannotCalibrate(
            f"{questions} judged questions are too few for a calibration: bring "
            f"{LEAST_QUESTIONS} or more, of all folders together"
        )


def fit_platt(examples: Sequence[Example]) -> Platt:
    """Each collection weighs the same. Raises `CannotCalibrate` where there are too few
    questions or passages of either kind, or the scores don't tell them apart."""
    _suffice(examples)
    fitted, errors = _coefficients(examples)
    if fitted[1:].min() <= 0:
        raise CannotCalibrate(
            "the model scores relevant passages no higher than others: look whether the "
            "judgements belong to these documents and questions"
        )
    if (fitted < SURE * errors)[1:].any():
        raise CannotCalibrate(
            "that relevant passages score higher than others may be chance: judge more "
            "questions, or look whether the judgements are right"
        )
    intercept, best, below = (round(float(c), 3) for c in fitted)
    if min(best, below) <= 0 or max(abs(intercept), best, below) > MOST:
        raise CannotCalibrate(f"the fit is no calibration: {intercept}, {best}, {below}")
    return Platt(intercept, best, below)


def _coefficients(examples: Sequence[Example]) -> tuple[Floats, Floats]:
    """Intercept, best and below, and their standard errors. The first two by the best passages
    alone, whose scores alarms look at; then the third by the others that are shown."""
    rows = _rows(examples)
    top, distance = rows.x.T
    first = np.append(True, rows.example[1:] != rows.example[:-1])
    best = rows.chosen(first, np.column_stack([np.ones_like(top), top]), np.zeros_like(top))
    level = _newton(best)
    sure = _standard_errors(best, level)
    if first.all():  # nothing came second: what holds for the best holds for all
        return np.append(level, level[1]), np.append(sure, sure[1])
    rest = rows.chosen(~first, distance[:, None], level[0] + level[1] * top)
    below = _newton(rest)
    return np.append(level, below), np.append(sure, _standard_errors(rest, below))


def _rows(examples: Sequence[Example]) -> _Rows:
    """What a search shows: the best one's logit and the distance to it. A question weighs as its
    kind does, however many there are of it."""
    found = [example for example in examples if example.scores]
    counts = Counter((example.collection, example.kind) for example in found)
    x: list[tuple[float, float]] = []
    relevant: list[bool] = []
    weight: list[float] = []
    of: list[int] = []
    for place, e in enumerate(found):
        top = logit(e.scores[0])
        for score, gold in zip(e.scores[:SHOWN], e.relevant[:SHOWN], strict=True):
            x.append((top, logit(score) - top))
            relevant.append(gold)
            weight.append(SHARES[e.kind] / counts[e.collection, e.kind])
            of.append(place)
    return _Rows(
        np.array(x), np.zeros(len(x)), np.array(relevant, float), np.array(weight), np.array(of)
    )


def _suffice(examples: Sequence[Example]) -> None:
    answerable = [example for example in examples if example.kind == "answerable"]
    enough(len(answerable))
    shown = [relevant for example in answerable for relevant in example.relevant[:SHOWN]]
    relevant = sum(shown)
    for count, what, do in (
        (relevant, "relevant", "look whether the judgements name these documents"),
        (
            len(shown) - relevant,
            "not relevant",
            "bring a collection with more documents than answers, or judge more strictly",
        ),
    ):
        if count < LEAST_OF_EACH:
            raise CannotCalibrate(
                f"of the passages that these questions bring back {count} are {what}, and it "
                f"takes {LEAST_OF_EACH} to tell them apart: {do}"
            )


def _newton(rows: _Rows) -> Floats:
    """(k,) coefficients with the least weighted cross-entropy. A step that makes it larger is
    halved (Lin, Lin and Weng, "A note on Platt's probabilistic outputs", 2007)."""
    x, w, target = rows.x, rows.weight, rows.targets()

    def loss(c: Floats) -> float:
        z = rows.base + x @ c
        return float(w @ (np.logaddexp(0, z) - target * z))

    fitted = np.zeros(x.shape[1])
    for _ in range(100):
        gradient = x.T @ (w * (_sigmoid(rows.base + x @ fitted) - target))
        step = np.linalg.solve(_curvature(rows, fitted), gradient)
        while np.abs(step).max() > 1e-9 and loss(fitted - step) > loss(fitted):
            step = step / 2
        fitted = fitted - step
        if np.abs(step).max() <= 1e-9:
            break
    return fitted


def _curvature(rows: _Rows, fitted: Floats) -> Floats:
    """A trace of a ridge keeps scores that are all alike from dividing by 0."""
    p = _sigmoid(rows.base + rows.x @ fitted)
    curved: Floats = (rows.x * (rows.weight * p * (1 - p))[:, None]).T @ rows.x
    return curved + 1e-6 * np.eye(len(fitted))


def _standard_errors(rows: _Rows, fitted: Floats) -> Floats:
    """Passages of one question err together, so a question counts as one (the sandwich of
    Liang and Zeger, 1986)."""
    errors = rows.weight * (_sigmoid(rows.base + rows.x @ fitted) - rows.targets())
    pulls = np.zeros((rows.example.max() + 1, len(fitted)))
    np.add.at(pulls, rows.example, rows.x * errors[:, None])
    moved = np.linalg.solve(_curvature(rows, fitted), pulls.T)
    spread: Floats = np.sqrt((moved**2).sum(axis=1))
    return spread


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0, -z)))


def left_out(examples: Sequence[Example]) -> list[Check]:
    """Each collection under the fit of all the others. Where these don't suffice for one, or
    there are none, a fifth of its questions at a time under the fit of all the rest; such a
    check names no calibration."""
    checks = []
    for name in dict.fromkeys(example.collection for example in examples):
        held = [example for example in examples if example.collection == name]
        others = [example for example in examples if example.collection != name]
        try:
            checks.append(check(fit_platt(others), held))
        except CannotCalibrate:
            checks.append(_in_parts(held, others))
    return checks


def _in_parts(held: Sequence[Example], others: Sequence[Example]) -> Check:
    """A question's two examples fall into the same part: they hold the same scores."""
    places: Counter[str] = Counter()
    parts: list[list[Example]] = [[] for _ in range(PARTS)]
    for example in held:
        parts[places[example.kind] % PARTS].append(example)
        places[example.kind] += 1
    scored = []
    for part in parts:
        rest = [example for other in parts if other is not part for example in other]
        platt = Platt(*_coefficients([*others, *rest])[0].tolist())
        scored += [(example, platt.probabilities(example.scores)) for example in part]
    return check_scored(scored, None)
