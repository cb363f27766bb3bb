"""The bars that the project sets its embedded default, on a corpus like Belebele's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steadyrag.domain.models import Language
from steadyrag.evaluation.latency import Latency

DOCUMENTS = 500
"""The largest corpus that the bars hold for; Belebele has 488 short passages."""
INGEST_S = 240.0
REINGEST_S = 5.0
OPEN_S = 1.0
P50_MS: dict[Language, float] = {"ko": 60.0, "en": 40.0}


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure and the most it may be, in the unit that `name` says."""

    name: str
    value: float
    most: float

    @property
    def met(self) -> bool:
        return self.value <= self.most


def bars(
    *,
    documents: int,
    ingest_s: float,
    reingest_s: float,
    open_s: float,
    latencies: Sequence[Latency],
) -> list[Bar]:
    """None for a corpus larger than the bars are meant for."""
    if documents > DOCUMENTS:
        return []
    return [
        Bar("ingest, s", ingest_s, INGEST_S),
        Bar("ingest of the unchanged set, s", reingest_s, REINGEST_S),
        Bar("opening the index, s", open_s, OPEN_S),
        *(Bar(f"p50 {one.language}, ms", one.p50_ms, P50_MS[one.language]) for one in latencies),
    ]
