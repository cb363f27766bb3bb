import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyrag.domain.calibration import Background, Calibration

CALIBRATION = Calibration(
    Background(score=3.0, spread=0.1, weight=20), intercept=-5.0, best=2.0, below=2.5
)


def best(*scores: float) -> float:
    return max(CALIBRATION.probabilities(scores))


def test_the_formula_is_the_documented_one() -> None:
    scores = [4.0, 3.5, 3.1]
    everything = [*scores, *([2.9] * 10), *([3.1] * 10)]
    mean = math.fsum(everything) / 23
    deviation = math.sqrt(math.fsum((s - mean) ** 2 for s in everything) / 23)
    z = [(s - mean) / deviation for s in scores]
    expected = [1 / (1 + math.exp(-(-5 + 2 * z[0] + 2.5 * (x - z[0])))) for x in z]
    assert CALIBRATION.probabilities(scores) == pytest.approx(expected)


def test_a_score_that_stands_out_is_probable_and_one_among_equals_is_not() -> None:
    crowd = [3.3 - i / 100 for i in range(30)]
    assert best(4.2, *crowd) > 0.8
    assert best(3.35, *crowd) < 0.3


def test_the_best_of_a_bad_lot_stays_improbable() -> None:
    assert best(3.05, 3.0, 2.95) < 0.05


def test_a_lone_chunk_is_judged_by_the_background() -> None:
    assert best(4.2) > 0.6
    assert best(3.0) < 0.01


def test_nothing_gives_nothing() -> None:
    assert CALIBRATION.probabilities([]) == []


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=60))
def test_probabilities_keep_the_order_and_stay_in_the_unit_interval(scores: list[float]) -> None:
    found = CALIBRATION.probabilities(scores)
    assert all(0 <= p <= 1 for p in found)
    ordered = [p for _, p in sorted(zip(scores, found, strict=True))]
    assert ordered == sorted(ordered)


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(scores: list[float], chance) -> None:
    shuffled = list(enumerate(scores))
    chance.shuffle(shuffled)
    found = CALIBRATION.probabilities([score for _, score in shuffled])
    back = dict(zip([i for i, _ in shuffled], found, strict=True))
    assert CALIBRATION.probabilities(scores) == [back[i] for i in range(len(scores))]
