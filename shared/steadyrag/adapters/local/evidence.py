"""What the local index can say of a question and a chunk, beyond the search that found it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from steadyrag.domain.models import Hit, Question

type Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Raw scores of n chunks for one question, in the order they were asked for.

    dense: (n,) cosine of question and chunk; None when the question has no vector.
    keyword: (n,) exact BM25 of every chunk, whether or not keyword search returned it.
    keyword_ceiling: the BM25 that a chunk holding every term of the question many times
        would approach, sum of idf x (k1 + 1); 0 when no term is known. Makes BM25 of
        different questions comparable.
    sentences: per chunk, (m,) cosines of the question with each sentence of the chunk
        (context first where there is one); empty when none are stored or no vector.
    """

    dense: Floats | None
    keyword: Floats
    keyword_ceiling: float
    sentences: Sequence[Floats]


class EvidenceSource(Protocol):
    async def evidence(self, question: Question, hits: Sequence[Hit]) -> Evidence: ...
