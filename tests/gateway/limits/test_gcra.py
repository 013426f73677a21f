import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.gcra import NEVER, Bucket, corrected, level, settled, wait_us

MINUTE = Bucket("requests", 60, 60_000_000)  # one a second
DEBT = Bucket("audio", 60, 60_000_000, debt=True)
S = 1_000_000
T0 = 1_800_000_000 * S


def spend(bucket: Bucket, tat: int, now: int, units: int) -> int:
    tat = settled(bucket, tat, now)
    assert wait_us(bucket, tat, now, units) == 0
    return tat + units * bucket.interval_us


def remaining(bucket: Bucket, tat: int, now: int) -> int:
    return level(bucket, settled(bucket, tat, now), now).remaining


def test_a_whole_bucket_may_be_taken_at_once_and_then_one_unit_each_interval() -> None:
    tat = spend(MINUTE, 0, T0, 60)
    assert wait_us(MINUTE, tat, T0, 1) == S
    assert wait_us(MINUTE, settled(MINUTE, tat, T0 + S - 1), T0 + S - 1, 1) == 1
    tat = spend(MINUTE, tat, T0 + S, 1)
    assert wait_us(MINUTE, tat, T0 + S, 1) == S


def test_a_level_tells_what_remains_and_when_all_of_it_is_back() -> None:
    tat = spend(MINUTE, 0, T0, 45)
    told = level(MINUTE, tat, T0)
    assert (told.remaining, told.reset_us) == (15, 45 * S)
    later = level(MINUTE, settled(MINUTE, tat, T0 + 90 * S), T0 + 90 * S)
    assert (later.remaining, later.reset_us) == (60, 0)


@pytest.mark.parametrize("limit", [1, 7, 13, 59, 61, 999, 123_457, 7_000_003])
def test_a_limit_that_does_not_divide_its_period_gives_its_burst_and_is_never_faster(limit: int) -> None:
    bucket = Bucket("characters", limit, 60 * S)
    tat = T0
    for _ in range(min(limit, 500) - 1):
        tat = spend(bucket, tat, T0, 1)
    tat = spend(bucket, tat, T0, limit - min(limit, 500) + 1)
    assert wait_us(bucket, tat, T0, 1) == bucket.interval_us
    assert bucket.interval_us * limit >= bucket.period_us


def test_what_is_more_than_the_whole_bucket_is_never_there() -> None:
    assert wait_us(MINUTE, T0, T0, 61) == NEVER
    assert wait_us(MINUTE, T0, T0, 60) == 0


def test_looking_into_an_overdrawn_bucket_costs_nothing_and_is_not_refused() -> None:
    tat = corrected(DEBT, T0 + 60 * S, T0, T0, 60, 80)
    assert wait_us(DEBT, tat, T0, 0) == 0
    assert level(DEBT, tat, T0).remaining == 0
    assert wait_us(DEBT, tat, T0, 1) == 21 * S


def test_a_time_further_ahead_than_a_bucket_holds_is_cut() -> None:
    """After the clock jumped back by an hour, or the limit was raised."""
    tat = settled(MINUTE, T0 + 3600 * S, T0)
    assert wait_us(MINUTE, tat, T0, 1) == S
    assert settled(DEBT, T0 + 3600 * S, T0) == T0 + 120 * S


def test_what_was_not_used_comes_back() -> None:
    tat = spend(MINUTE, spend(MINUTE, 0, T0, 10), T0, 30)
    assert remaining(MINUTE, corrected(MINUTE, tat, T0, T0, 30, 0), T0) == 50
    assert remaining(MINUTE, corrected(MINUTE, tat, T0, T0, 30, 12), T0) == 38


def test_what_time_has_given_back_does_not_come_back_once_more() -> None:
    tat = spend(MINUTE, 0, T0, 10)
    now = T0 + 10 * S  # all ten are back
    tat = spend(MINUTE, tat, now, 60)
    assert remaining(MINUTE, corrected(MINUTE, tat, now, T0, 10, 0), now) == 0


def test_more_than_was_taken_becomes_debt_of_one_bucket_at_most() -> None:
    tat = spend(DEBT, 0, T0, 50)
    assert remaining(DEBT, corrected(DEBT, tat, T0, T0, 50, 55), T0) == 5
    assert corrected(DEBT, tat, T0, T0, 50, 5000) == T0 + 120 * S


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(0, 5), st.integers(0, 4)), max_size=60),
)
def test_no_window_of_time_uses_more_than_burst_and_rate_allow(
    limit: int, steps: list[tuple[int, int, int, int]]
) -> None:
    """Requests come `gap` s after one another, want `units`, run for `for_s` and use only some of what they took."""
    bucket = Bucket("characters", limit, limit * S)  # one a second
    tat, now = T0, T0
    running: list[tuple[int, int, int, int]] = []  # end, taken at, taken, used
    used_at: list[tuple[int, int]] = []
    for gap, units, for_s, used in steps:
        now += gap * S
        for one in sorted(running):
            if one[0] <= now:
                running.remove(one)
                end, at, taken, really = one
                tat = corrected(bucket, settled(bucket, tat, end), end, at, taken, really)
        tat = settled(bucket, tat, now)
        if wait_us(bucket, tat, now, units) == 0:
            tat += units * bucket.interval_us
            running.append((now + for_s * S, now, units, min(used, units)))
            used_at.append((now, min(used, units)))
    for first, (begin, _) in enumerate(used_at):
        total = 0
        for at, units in used_at[first:]:
            total += units
            assert total <= limit + (at - begin) // S
