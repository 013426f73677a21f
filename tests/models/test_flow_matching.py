"""The solver, with velocities that are formulas."""

import numpy as np
import pytest

from models.flow_matching import cosine_times, equal_times, follow, guided
from models.slices import whole


@pytest.mark.parametrize("times", [equal_times(7), cosine_times(7)])
def test_times_go_from_0_to_1(times: list[float]) -> None:
    assert times[0] == 0
    assert times[-1] == pytest.approx(1)
    assert len(times) == 8
    assert (np.diff(times) > 0).all()


def test_cosine_times_begin_with_short_steps() -> None:
    assert (np.diff(cosine_times(10), n=2) > 0).all()


@pytest.mark.parametrize("times", [equal_times(4), cosine_times(4)])
def test_a_steady_velocity_is_followed_to_its_end_whatever_the_steps(times: list[float]) -> None:
    start = np.full((2, 3), 7, np.float32)
    end = whole(follow(start, times, lambda x, t: np.full_like(x, 2)))
    np.testing.assert_allclose(end, 9, rtol=1e-6)
    assert (start == 7).all(), "the caller's is not touched"


def test_many_steps_come_to_the_curve() -> None:
    """dx/dt = x from 1 is e at 1."""
    end = whole(follow(np.ones(1, np.float32), equal_times(1000), lambda x, t: x))
    assert end[0] == pytest.approx(np.e, rel=1e-3)


def test_whoever_follows_it_may_leave_before_any_step() -> None:
    asked: list[float] = []
    following = follow(np.ones(1, np.float32), equal_times(10), lambda x, t: asked.append(t) or x)  # type: ignore[func-returns-value]
    for _ in range(3):
        next(following)
    following.close()
    assert asked == [0, 0.1]


def test_guidance_goes_away_from_what_nothing_is_known_of() -> None:
    assert guided(np.array([[3.0], [1.0]], np.float32), 0.5)[0] == 1.5 * 3 - 0.5 * 1
