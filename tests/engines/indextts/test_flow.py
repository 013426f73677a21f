"""The solver, with an estimator that is a formula."""

from collections.abc import Mapping

import numpy as np
import pytest

from engines.indextts.flow import Flow

MELS, PROMPT, FRAMES = 3, 2, 6


class Formula:
    """Velocity t + mu behind the prompt, where mu is known, and t elsewhere; notes how many rows it was asked for."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.times: list[float] = []
        self.last: Mapping[str, np.ndarray] = {}

    def run(self, output_names: object, input_feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        self.rows.append(input_feed["x"].shape[0])
        self.times.append(float(input_feed["t"][0]))
        self.last = {name: value.copy() for name, value in input_feed.items()}
        velocity = np.broadcast_to(input_feed["t"] + input_feed["mu"][:, None, :, 0], input_feed["x"].shape)
        return [velocity[:, :, input_feed["known"][0] :]]


@pytest.fixture
def formula() -> Formula:
    return Formula()


def solve(formula: Formula, steps: int, cfg: float, **more: object) -> np.ndarray:
    mu = np.full((FRAMES, 5), 2, np.float32)
    prompt, style = np.ones((MELS, PROMPT), np.float32), np.ones(4, np.float32)
    return Flow(formula).solve(mu, prompt, style, np.full((MELS, FRAMES), 7, np.float32), steps, cfg, **more)


def test_steps_are_equal_and_add_up(formula: Formula) -> None:
    mel = solve(formula, 4, 0)
    assert formula.times == [0, 0.25, 0.5, 0.75]
    assert mel.shape == (MELS, FRAMES - PROMPT)
    np.testing.assert_allclose(mel, 7 + 2 + 1.5 / 4, rtol=1e-6)


def test_guidance_goes_away_from_what_nothing_is_known_of(formula: Formula) -> None:
    mel = solve(formula, 2, 0.5)
    np.testing.assert_allclose(mel, 7 + 1.5 * (2 + 0.25) - 0.5 * 0.25, rtol=1e-6)
    assert formula.rows == [2, 2]
    assert not any(formula.last[name][1].any() for name in ("mu", "prompt", "style"))
    assert np.array_equal(formula.last["x"][0], formula.last["x"][1])


def test_without_guidance_half_the_work_is_done(formula: Formula) -> None:
    solve(formula, 3, 0)
    assert formula.rows == [1, 1, 1]


def test_guidance_may_end_early(formula: Formula) -> None:
    solve(formula, 5, 0.7, cfg_until=0.4)
    assert formula.rows == [2, 2, 1, 1, 1]


def test_the_prompt_is_given_and_its_frames_stay_zero(formula: Formula) -> None:
    noise = np.ones((MELS, FRAMES), np.float32)
    Flow(formula).solve(np.ones((FRAMES, 5), np.float32), noise[:, :PROMPT], np.ones(4, np.float32), noise, 2, 0)
    assert formula.last["prompt"][0, :, :PROMPT].all()
    assert not formula.last["prompt"][0, :, PROMPT:].any()
    assert not formula.last["x"][0, :, :PROMPT].any()
    assert noise.all(), "the caller's noise is not touched"


def test_whoever_follows_it_may_leave_before_any_step(formula: Formula) -> None:
    known, noise = np.ones((MELS, PROMPT), np.float32), np.ones((MELS, FRAMES), np.float32)
    following = Flow(formula).follow(np.ones((FRAMES, 5), np.float32), known, np.ones(4, np.float32), noise, 10, 0)
    for _ in range(3):
        next(following)
    following.close()
    assert len(formula.rows) == 2
