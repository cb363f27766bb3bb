from hypothesis import given
from hypothesis import strategies as st

from steadyrag.domain.sliding_window import Window, current_window, room, take, verdict

MINUTE = 60


def counted(limit: int, times: list[float]) -> list[bool]:
    held, verdicts = None, []
    for now_s in times:
        held, allowance = take(held, limit=limit, now_s=now_s, window_s=MINUTE)
        verdicts.append(allowance.allowed)
    return verdicts


def test_the_limit_passes_at_once_and_no_more():
    assert counted(3, [600.0] * 5) == [True, True, True, False, False]


def test_the_last_bucket_counts_by_how_much_of_it_the_window_still_covers():
    window = Window(bucket=10, count=0, previous=10)
    at = {"limit": 10, "window_s": MINUTE}
    assert [room(window, now_s=s, **at) for s in (600, 606, 630, 659.9)] == [0, 1, 5, 9]


def test_two_buckets_without_a_request_forget_everything():
    assert current_window(Window(8, 10, 10), now_s=600, window_s=MINUTE) == Window(10)
    assert current_window(Window(9, 7, 10), now_s=600, window_s=MINUTE) == Window(10, 0, 7)


def test_a_clock_that_lags_by_a_bucket_counts_where_the_others_do():
    ahead = Window(10, 4, 1)
    assert current_window(ahead, now_s=599, window_s=MINUTE) is ahead
    assert room(ahead, limit=10, now_s=599, window_s=MINUTE) == 9


def test_a_clock_that_was_far_ahead_locks_nobody_out():
    assert current_window(Window(99, 10, 10), now_s=600, window_s=MINUTE) == Window(10)


def test_a_limit_of_nothing_allows_nothing():
    assert counted(0, [600.0, 700.0, 6000.0]) == [False] * 3


@given(
    limit=st.integers(1, 50),
    count=st.integers(0, 60),
    previous=st.integers(0, 60),
    second=st.floats(0, 59.9),
)
def test_the_stated_time_is_enough_to_be_allowed_and_not_much_less(limit, count, previous, second):
    window, now_s = Window(10, count, previous), 600 + second
    told = verdict(window, allowed=False, limit=limit, now_s=now_s, window_s=MINUTE)
    if told.reset_s > 0:
        assert told.remaining == 0

        def allowed_at(then_s: float) -> bool:
            return take(window, limit=limit, now_s=then_s, window_s=MINUTE)[1].allowed

        assert allowed_at(now_s + told.reset_s + 0.001)
        assert not allowed_at(now_s + max(0, told.reset_s - 0.001))
    else:
        assert told.remaining > 0


@given(st.lists(st.floats(0, 20), min_size=1, max_size=80), st.integers(1, 10))
def test_no_bucket_ever_counts_more_than_the_limit(pauses, limit):
    held, now_s = None, 600.0
    for pause_s in pauses:
        now_s += pause_s
        held, _ = take(held, limit=limit, now_s=now_s, window_s=MINUTE)
        assert held.count <= limit
