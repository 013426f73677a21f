"""Can one who comes be served in time: what a wait may become, and when there will be room."""

from __future__ import annotations

import pytest

from policies.waiting import MAY_BE_LONGER, longest_s, room_in_s


def test_without_a_line_only_the_work_itself_counts() -> None:
    assert room_in_s(0.0, 8.0, 8.0) == 0
    assert room_in_s(0.0, 8.1, 8.0) is None
    assert room_in_s(5.0, 3.0, float("inf")) == 0


@pytest.mark.parametrize(("wait_s", "own_s", "allowed_s"), [(2.0, 1.0, 8.0), (6.0, 1.0, 8.0), (60.0, 7.9, 8.0)])
def test_there_is_room_once_the_line_is_short_enough_even_if_it_takes_longer(
    wait_s: float, own_s: float, allowed_s: float
) -> None:
    room_s = room_in_s(wait_s, own_s, allowed_s)
    assert room_s is not None
    assert (room_s == 0) == (longest_s(wait_s, own_s) <= allowed_s)
    if room_s:
        assert longest_s(wait_s - room_s, own_s) == pytest.approx(allowed_s)


def test_a_wait_may_be_longer_than_it_is_expected_to_be() -> None:
    assert longest_s(4.0, 1.0) == 4.0 * MAY_BE_LONGER + 1.0
