"""What was said of one search comes to the same in whatever order it arrives."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyrag.domain.feedback import with_feedback
from steadyrag.domain.record_payload import feedback_text, read_feedback
from steadyrag.domain.records import Feedback

said = st.builds(
    Feedback,
    st.just("s1"),
    st.integers(0, 4).map(float),
    st.none() | st.integers(1, 3),
    st.sampled_from([None, -1, 1]),
    st.sampled_from([None, "good", "bad"]),
).filter(lambda one: (one.clicked_rank, one.rating, one.comment) != (None, None, None))


def together(coming: Iterable[Feedback]) -> tuple[Feedback, ...]:
    held: tuple[Feedback, ...] = ()
    for one in coming:
        held = with_feedback(held, one)
    return held


@given(st.lists(said, min_size=1, max_size=5))
def test_every_order_comes_to_the_same(coming: list[Feedback]) -> None:
    assert len({together(order) for order in permutations(coming)}) == 1


@given(st.lists(said, min_size=1, max_size=6), st.data())
def test_what_comes_again_changes_nothing(coming: list[Feedback], data: st.DataObject) -> None:
    held = together(coming)
    again = data.draw(st.lists(st.sampled_from([*coming, *held])))
    assert together([*coming, *again]) == together([*held, *again]) == held


@given(st.lists(said, min_size=1, max_size=6))
def test_the_last_rating_and_comment_hold_and_every_first_click(coming: list[Feedback]) -> None:
    held = together(coming)
    assert [one.at for one in held] == sorted(one.at for one in held)
    for name in ("rating", "comment"):
        told = [(one.at, value) for one in coming if (value := getattr(one, name)) is not None]
        kept = [(one.at, value) for one in held if (value := getattr(one, name)) is not None]
        assert kept == ([max(told)] if told else [])
    clicks = {one.clicked_rank for one in coming} - {None}
    kept_clicks = [(one.clicked_rank, one.at) for one in held if one.clicked_rank]
    assert dict(kept_clicks).keys() == clicks
    assert len(kept_clicks) == len(clicks)
    for rank, at in kept_clicks:
        assert at == min(one.at for one in coming if one.clicked_rank == rank)


@pytest.mark.parametrize("order", list(permutations([(10, 1), (30, 1), (20, -1)])))
def test_a_rating_that_arrives_late_does_not_undo_the_last(
    order: tuple[tuple[int, Literal[-1, 1]], ...],
) -> None:
    coming = [Feedback("s1", float(at), rating=rating) for at, rating in order]
    assert together(coming) == (Feedback("s1", 30.0, rating=1),)


def test_what_was_kept_before_is_read_and_goes_on() -> None:
    before = (
        '{"version": 1, "feedback": ['
        '{"search_id": "s1", "at": 10.0, "clicked_rank": 3, "rating": null, "comment": null}, '
        '{"search_id": "s1", "at": 11.5, "clicked_rank": null, "rating": 1, "comment": "ok"}]}'
    )
    held = read_feedback(before)
    assert feedback_text(held) == before
    assert with_feedback(held, Feedback("s1", 20.0, rating=-1)) == (
        Feedback("s1", 10.0, clicked_rank=3),
        Feedback("s1", 11.5, comment="ok"),
        Feedback("s1", 20.0, rating=-1),
    )
