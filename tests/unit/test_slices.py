"""How a request's time is divided among its stages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyrag.domain.slices import SHARES, fair_s, slice_s

IN_ORDER = ["embedding", "vector", "rerank", "generation", "fallback", "extractive"]


def left_after(deadline_s: float, stages: list[str]) -> float:
    """What is left when each of these takes all that it may."""
    left_s = deadline_s
    for stage in stages:
        left_s -= slice_s(stage, left_s=left_s)
    return left_s


def test_the_default_deadline_leaves_every_stage_its_time_when_all_before_it_time_out():
    assert left_after(25, IN_ORDER[:2]) >= 15
    assert slice_s("generation", left_s=left_after(25, IN_ORDER[:3])) >= 6
    assert left_after(25, IN_ORDER[:5]) >= 1


@pytest.mark.parametrize("deadline_s", [0.5, 1, 2, 5, 25])
def test_the_extractive_answer_gets_its_turn_after_everything_timed_out(deadline_s):
    assert left_after(deadline_s, IN_ORDER[:5]) >= min(0.25, deadline_s * 0.07)


def test_keyword_search_may_take_as_long_as_embedding_and_vector_search_together():
    both = 10 - left_after(10, IN_ORDER[:2])
    assert slice_s("keyword", left_s=10) == pytest.approx(both)


def test_a_cap_holds_however_much_time_there_is():
    assert slice_s("embedding", left_s=100, cap_s=5) == 5


def test_a_short_deadline_is_not_cut_into_useless_slices():
    assert slice_s("embedding", left_s=0.9) == 0.25


@given(st.sampled_from(sorted(SHARES)), st.floats(0, 30), st.floats(0, 30))
def test_no_slice_is_negative_or_longer_than_what_is_left(stage, left_s, cap_s):
    assert 0 <= slice_s(stage, left_s=left_s, cap_s=cap_s) <= min(left_s, cap_s)


@pytest.mark.parametrize("stage", SHARES)
def test_an_ordinary_request_gives_each_stage_a_fair_time_and_a_hurried_one_does_not(stage):
    fair = fair_s(stage, deadline_s=25)
    assert slice_s(stage, left_s=24) >= fair
    assert slice_s(stage, left_s=1) < fair
