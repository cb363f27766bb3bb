"""How a request's time is divided among its stages.

A stage may take a fixed share of what is left when it starts, so that those after it get
theirs whatever happened before; time that a stage does not use goes to the rest.

    embedding  20 % ┐
    vector     25 % ┴ keyword 40 % beside both
    rerank     25 %
    generation 60 %, leaving the rest to the fallback model and the extractive answer

`RESERVE_S` is left out of it, for the answer to be put together from what was found. Shares
of a short deadline would be too short to be of use, so a stage gets at least `LEAST_S` or a
third of what is left, whichever is less.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SHARES: Mapping[str, float] = {
    "embedding": 0.20,
    "vector": 0.25,
    "keyword": 0.40,
    "index": 0.40,
    "rerank": 0.25,
    "generation": 0.60,
    "fallback": 0.70,
    "extractive": 1.00,
}
"""Of what the deadline leaves when the stage starts. `fallback` is the tier's next model."""

LEAST_S = 0.25
RESERVE_S = 0.25
"""Or a quarter of what is left, where that is less."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The longest each stage may take, in seconds; what the deadline leaves bounds it too."""

    embed_s: float = 5.0
    vector_s: float = 5.0
    keyword_s: float = 5.0
    rerank_s: float = 5.0
    generate_s: float = 20.0


def slice_s(stage: str, *, left_s: float, cap_s: float = float("inf")) -> float:
    """The longest a stage may take, in seconds, when `left_s` are left: never more than that,
    nor than `cap_s`, which holds however much time there is."""
    if SHARES[stage] == 1:
        return min(cap_s, left_s)
    share_s = SHARES[stage] * (left_s - min(RESERVE_S, left_s / 4))
    return min(cap_s, max(share_s, min(LEAST_S, left_s / 3)))


def fair_s(stage: str, *, deadline_s: float, cap_s: float = float("inf")) -> float:
    """What a stage must have had for its time-out to count against its dependency: half of
    what the service's own deadline would give it. A caller who asks for an answer in a
    tenth of a second learns nothing about anybody's health."""
    return slice_s(stage, left_s=deadline_s, cap_s=cap_s) / 2
