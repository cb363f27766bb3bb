"""A reranker's scores as probabilities of relevance, so that 0.7 means 0.7 for any question.

How far a score stands out depends on the question and the collection: cosines of unrelated
passages differ between languages and fields. So each score is first standardised among the
question's own candidates:

    z = (score - mean) / deviation

over the candidates and `weight` more that are taken to score like chunks which have nothing
to do with the question: `background` with deviation `spread`. They keep the best of a bad lot
low, and a collection of one chunk meaningful. Then

    probability = sigmoid(intercept + best · z_best + below · (z - z_best))

which falls with the score, so the order of the hits is the reranker's own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Background:
    """What an unrelated chunk scores, and for how many such chunks it counts."""

    score: float
    spread: float
    weight: int

    def standardised(self, scores: Sequence[float]) -> list[float]:
        """`scores` of one question's candidates, each in deviations from their mean."""
        n = len(scores) + self.weight
        mean = (math.fsum(scores) + self.weight * self.score) / n
        squares = math.fsum((score - mean) ** 2 for score in scores)
        squares += self.weight * (self.spread**2 + (self.score - mean) ** 2)
        deviation = math.sqrt(squares / n)
        return [(score - mean) / deviation for score in scores]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients that `steadyrag.calibrate` fits. `best` and `below` are above 0."""

    background: Background
    intercept: float
    best: float
    below: float

    def probabilities(self, scores: Sequence[float]) -> list[float]:
        """For each of one question's candidates; needs all of them, in any order."""
        if not scores:
            return []
        standardised = self.background.standardised(scores)
        top = max(standardised)
        level = self.intercept + self.best * top
        return [_sigmoid(level + self.below * (z - top)) for z in standardised]


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
