"""Platt scaling of a hosted reranker's scores: the formula, the setting's form, the fit."""

import io
import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from builders import hit
from steadyrag.calibrate import CannotCalibrate, Example, Judged, check
from steadyrag.domain.errors import Refused, Throttled, Unavailable
from steadyrag.domain.filters import Filter
from steadyrag.domain.models import Hit
from steadyrag.domain.platt import Fitted, Platt, parse_fitted
from steadyrag.evaluation.calibrating import StageLost
from steadyrag.evaluation.calibrating_hosted import WAITS_S, hosted_report, patient
from steadyrag.fit_platt import LEAST_QUESTIONS, fit_platt, gather_once, left_out

PLANTED = Platt(-0.8, 0.6, 0.9)


def asked(
    collection: str = "a",
    *,
    questions: int = 300,
    hits: int = 5,
    truth: Platt = PLANTED,
    seed: int = 1,
) -> list[Example]:
    """Answerable questions only, whose passages are relevant as often as `truth` says."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    made = []
    for _ in range(questions):
        scores = sorted(1 / (1 + math.exp(chance.uniform(-8, 8))) for _ in range(hits))[::-1]
        relevant = tuple(chance.random() < p for p in truth.probabilities(scores))
        made.append(Example(collection, "answerable", tuple(scores), relevant))
    return made


def test_the_formula_is_the_documented_one() -> None:
    assert Platt(0, 1, 1).probabilities([0.9, 0.123]) == pytest.approx([0.9, 0.123])
    top = math.log(0.8 / 0.2)
    expected = [-0.4 + 0.9 * top, -0.4 + 0.9 * top + 1.5 * (0 - top)]
    assert Platt(-0.4, 0.9, 1.5).probabilities([0.8, 0.5]) == pytest.approx(
        [1 / (1 + math.exp(-x)) for x in expected]
    )
    assert Platt(-0.4, 0.9, 1.5).probabilities([]) == []


slopes = st.floats(0.001, 50)


@given(st.lists(st.floats(0, 1), min_size=2), st.floats(-50, 50), slopes, slopes)
def test_probabilities_keep_the_order_and_stay_in_the_unit_interval(
    scores: list[float], intercept: float, best: float, below: float
) -> None:
    found = Platt(intercept, best, below).probabilities(sorted(scores))
    assert found == sorted(found)
    assert all(0 <= p <= 1 for p in found)


def test_what_is_printed_is_what_the_setting_takes() -> None:
    fitted = Fitted("cohere-rerank-3.5", Platt(-0.412, 0.873, 1.204))
    assert str(fitted) == "cohere-rerank-3.5:-0.412,0.873,1.204"
    assert parse_fitted(str(fitted)) == fitted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-0.4,0.9,1", "model:intercept,best,below"),
        ("bge:-0.4,0.9", "model:intercept,best,below"),
        ("bge:-0.4,nan,1", "model:intercept,best,below"),
        ("bge:-0.4,1,1e9", "model:intercept,best,below"),
        ("bge:-0.4,0,1", "must be above 0"),
        ("bge:-0.4,1,-1", "must be above 0"),
        ("bge:-51,1,1", "above 50"),
        ("bge:0,51,1", "above 50"),
    ],
)
def test_a_calibration_that_cannot_be_one_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_fitted(text)


@pytest.mark.parametrize("truth", [PLANTED, Platt(-4.0, 1.0, 0.4), Platt(-1.0, 0.4, 2.0)])
def test_the_fit_finds_the_coefficients_that_were_planted(truth: Platt) -> None:
    found = fit_platt(asked(questions=4000, truth=truth))
    assert found.intercept == pytest.approx(truth.intercept, abs=0.4)
    assert found.best == pytest.approx(truth.best, rel=0.15)
    assert found.below == pytest.approx(truth.below, rel=0.15)


def test_no_nearby_coefficients_fit_better() -> None:
    examples = asked()
    found = fit_platt(examples)

    def loss(platt: Platt) -> float:
        return -math.fsum(
            math.log(p if relevant else 1 - p)
            for e in examples
            for p, relevant in zip(platt.probabilities(e.scores), e.relevant, strict=True)
        )

    for step in (-0.1, 0.1):
        assert loss(found) < loss(replace(found, below=found.below + step))
    examples = [Example(e.collection, e.kind, e.scores[:1], e.relevant[:1]) for e in examples]
    for step in (-0.1, 0.1):
        assert loss(found) < loss(replace(found, intercept=found.intercept + step))
        assert loss(found) < loss(replace(found, best=found.best + step))


def test_a_fit_is_calibrated_on_questions_it_has_not_seen_where_the_raw_score_is_not() -> None:
    harsh = Platt(-3.0, 0.6, 0.9)
    other = asked("b", questions=2000, truth=harsh, seed=2)
    assert check(fit_platt(asked(questions=1000, truth=harsh)), other).first.error < 0.05
    assert check(Platt(0, 1, 1), other).first.error > 0.15


def test_scores_that_never_err_are_taken_as_far_as_their_number_goes() -> None:
    perfect = [Example("a", "answerable", (0.9,), (True,))] * 100
    perfect += [Example("a", "answerable", (0.1,), (False,))] * 100
    found = fit_platt(perfect)
    assert found.probabilities([0.9]) == pytest.approx([101 / 102], abs=0.001)
    assert found.probabilities([0.1]) == pytest.approx([1 / 102], abs=0.001)
    assert found.best == found.below


def test_each_collection_weighs_the_same_however_many_its_questions() -> None:
    few = asked("few", truth=Platt(0, 0.6, 0.9))
    many = asked("many", questions=600, truth=Platt(-4, 0.6, 0.9), seed=2)
    once, tenfold = fit_platt([*few, *many]), fit_platt([*few * 10, *many])
    assert (tenfold.intercept, tenfold.best, tenfold.below) == pytest.approx(
        (once.intercept, once.best, once.below), abs=0.05
    )


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(CannotCalibrate, match=f"49 judged questions .* {LEAST_QUESTIONS}"):
        fit_platt(asked(questions=LEAST_QUESTIONS - 1))


@pytest.mark.parametrize(("relevant", "said"), [(False, "0 are relevant"), (True, "not relevant")])
def test_passages_of_one_kind_are_refused(relevant: bool, said: str) -> None:
    alike = [Example(e.collection, e.kind, e.scores, (relevant,) * 5) for e in asked()]
    with pytest.raises(CannotCalibrate, match=said):
        fit_platt(alike)


def test_nothing_found_is_refused() -> None:
    with pytest.raises(CannotCalibrate, match="0 are relevant"):
        fit_platt([Example("a", "answerable", (), ())] * 100)


def test_scores_that_are_upside_down_are_refused() -> None:
    upside_down = [
        Example(e.collection, e.kind, e.scores, tuple(not r for r in e.relevant)) for e in asked()
    ]
    with pytest.raises(CannotCalibrate, match="no higher than others"):
        fit_platt(upside_down)


def test_scores_that_say_nothing_are_refused() -> None:
    chance = random.Random(3)  # noqa: S311 - reproducible, not secret
    refused = 0
    for seed in range(40):
        noise = [
            Example(e.collection, e.kind, e.scores, tuple(chance.random() < 0.4 for _ in e.scores))
            for e in asked(questions=60, seed=seed)
        ]
        try:
            fit_platt(noise)
        except CannotCalibrate:
            refused += 1
    assert refused >= 39


def test_scores_that_are_all_alike_are_refused() -> None:
    alike = [Example(e.collection, e.kind, (0.5,) * 5, e.relevant) for e in asked()]
    with pytest.raises(CannotCalibrate):
        fit_platt(alike)


def test_passages_that_err_together_count_as_one() -> None:
    """Four copies of what comes second are no more evidence than one."""
    weak = asked(questions=80, hits=2, truth=Platt(-4, 1, 0.1), seed=10)
    copied = [
        Example(e.collection, e.kind, e.scores + e.scores[1:] * 3, e.relevant + e.relevant[1:] * 3)
        for e in weak
    ]
    for examples in (weak, copied):
        with pytest.raises(CannotCalibrate, match="may be chance"):
            fit_platt(examples)


def test_each_collection_is_checked_under_the_fit_of_the_others() -> None:
    a, b = asked("a", seed=1), asked("b", seed=2)
    of_a, of_b = left_out([*a, *b])
    assert (of_a.collection, of_a.calibration) == ("a", fit_platt(b))
    assert (of_b.collection, of_b.calibration) == ("b", fit_platt(a))


def test_a_single_collection_is_checked_a_fifth_of_its_questions_at_a_time() -> None:
    [alone] = left_out(asked(questions=1000))
    assert alone.calibration is None
    assert alone.first.error < 0.07


def test_a_collection_whose_others_are_too_few_is_checked_in_parts_too() -> None:
    large, small = asked("large", seed=1), asked("small", questions=10, seed=2)
    of_large, of_small = left_out([*large, *small])
    assert of_large.calibration is None
    assert of_small.calibration == fit_platt(large)


async def test_a_question_is_asked_once_and_read_twice() -> None:
    calls: list[str] = []

    async def rank(text: str, condition: Filter) -> Sequence[Hit]:
        calls.append(text)
        assert condition == Filter()
        return [hit(f"{name} {text}", s, document_id=name) for name, s in (("x", 0.9), ("y", 0.2))]

    judged = Judged("q", frozenset({"x"}))
    found = [e async for e in gather_once("a", [judged], ["elsewhere"], rank)]
    assert calls == ["q", "elsewhere"]
    assert found == [
        Example("a", "answerable", (0.9, 0.2), (True, False)),
        Example("a", "unanswerable", (0.2,), (False,)),
        Example("a", "foreign", (0.9, 0.2), (False, False)),
    ]


class Unsteady:
    """A search that fails in these ways first."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.waited: list[float] = []

    async def rank(self, text: str, condition: Filter) -> Sequence[Hit]:
        if self.failures:
            raise self.failures.pop(0)
        return [hit()]

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


async def test_a_vendor_that_fails_for_a_while_costs_time_and_not_what_was_paid_for() -> None:
    unsteady = Unsteady(
        Throttled("reranker", "answered 429", retry_after_s=3.0),
        StageLost("embedding failed"),
        Unavailable("reranker", "reset"),
    )
    assert await patient(unsteady.rank, sleep=unsteady.sleep)("q", Filter()) == [hit()]
    assert unsteady.waited == [3.0, 5.0, 20.0]


async def test_a_vendor_that_stays_away_or_refuses_ends_the_fit() -> None:
    gone = Unsteady(*[Unavailable("reranker", "reset")] * 9)
    with pytest.raises(Unavailable):
        await patient(gone.rank, sleep=gone.sleep)("q", Filter())
    assert len(gone.waited) == len(WAITS_S)
    refused = Unsteady(Refused("reranker", "answered 403"))
    with pytest.raises(Refused):
        await patient(refused.rank, sleep=refused.sleep)("q", Filter())
    assert refused.waited == []


def rendered(examples: Sequence[Example]) -> str:
    console = Console(width=400, file=io.StringIO(), record=True)
    console.print(hosted_report(examples, "bge").rendered())
    return console.export_text()


def test_a_report_says_what_its_check_is_worth() -> None:
    large, small = asked("large"), asked("small", questions=10, seed=2)
    assert "Name a second folder" in rendered(large)
    assert "Without large the other sets are too little" in rendered([*large, *small])


def test_a_report_warns_of_scores_that_do_not_hold_elsewhere() -> None:
    here = asked("here")
    alike = asked("alike", seed=2)
    unlike = asked("unlike", truth=Platt(-6, 0.6, 0.9), seed=2)
    assert "were off by" not in rendered([*here, *alike])
    assert "Scores of unlike's first sources were off by" in rendered([*here, *unlike])
