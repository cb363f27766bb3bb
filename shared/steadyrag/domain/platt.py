"""A hosted reranker's scores as probabilities of relevance, so that 0.7 means 0.7.

    x = logit(score)
    probability = sigmoid(intercept + best · x_best + below · (x - x_best))

The logit undoes the sigmoid that such models end with. For a question's best passage this is
Platt scaling (J. Platt, "Probabilistic outputs for support vector machines", 1999). A passage
below the best is judged by its distance, too: mostly one passage has the answer, so one that
comes second is relevant less often than one with the same score that comes first. It falls with
the score, so the order stays the model's.

As settings write it, with the model that it was fitted for:
`bge-reranker-v2-m3:-0.412,0.873,1.204`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

CLAMP = 1e-6
"""Scores nearer to 0 or 1 count as that near: beyond it a score is how the vendor rounds."""
MOST = 50.0
"""No coefficient is larger: scores would be 0 or 1 and nothing between."""

_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
_FORM = re.compile(rf"([A-Za-z0-9._-]+):({_NUMBER}),({_NUMBER}),({_NUMBER})")


@dataclass(frozen=True, slots=True)
class Platt:
    """Coefficients that `steadyrag.fit_platt` fits. `best` and `below` are above 0."""

    intercept: float
    best: float
    below: float

    def probabilities(self, scores: Sequence[float]) -> list[float]:
        """For passages of one question, the best among them."""
        if not scores:
            return []
        x = [logit(score) for score in scores]
        top = max(x)
        level = self.intercept + self.best * top
        return [_sigmoid(level + self.below * (each - top)) for each in x]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A calibration and the model whose scores it is for."""

    model: str
    platt: Platt

    def __str__(self) -> str:
        fitted = self.platt
        return f"{self.model}:{fitted.intercept:.3f},{fitted.best:.3f},{fitted.below:.3f}"


def logit(score: float) -> float:
    held = min(max(score, CLAMP), 1 - CLAMP)
    return math.log(held / (1 - held))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def parse_fitted(text: str) -> Fitted:
    """`model:intercept,best,below`; raises `ValueError` that says what is wrong."""
    parts = _FORM.fullmatch(text.strip())
    if parts is None:
        raise ValueError(
            "must be model:intercept,best,below as `steadyrag calibrate` prints it, such as "
            "bge-reranker-v2-m3:-0.412,0.873,1.204"
        )
    intercept, best, below = (float(part) for part in parts.groups()[1:])
    if min(best, below) <= 0:
        raise ValueError("the last two must be above 0, or worse passages would score higher")
    if max(abs(intercept), best, below) > MOST:
        raise ValueError(f"no coefficient may be above {MOST:g}")
    return Fitted(parts[1], Platt(intercept, best, below))
