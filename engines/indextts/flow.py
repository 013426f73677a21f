"""Makes a mel spectrogram out of noise: follows the estimator's velocity from t = 0 to t = 1 in a few equal steps.

Solved as `models.flow_matching` does. Knows nothing about what the estimator is, nor where its conditions come from.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from models import flow_matching
from models.network import Network
from models.slices import whole

Array = npt.NDArray[np.float32]


class Flow:
    """flow = Flow(session)
    mel = flow.solve(mu, prompt_mel, style, noise, steps=10, cfg=0.7)
    """

    def __init__(self, estimator: Network) -> None:
        self._estimator = estimator

    def solve(
        self,
        mu: Array,
        prompt_mel: Array,
        style: Array,
        noise: Array,
        steps: int,
        cfg: float,
        cfg_until: float = 1.0,
    ) -> Array:
        """As `follow`, in one go."""
        return whole(self.follow(mu, prompt_mel, style, noise, steps, cfg, cfg_until))

    def follow(
        self,
        mu: Array,
        prompt_mel: Array,
        style: Array,
        noise: Array,
        steps: int,
        cfg: float,
        cfg_until: float = 1.0,
    ) -> Generator[None, None, Array]:
        """The mel [mels, frames - prompt] that follows the prompt; stops before each step, for other work or for good.

        mu [frames, content] is the condition of prompt and speech, prompt_mel [mels, prompt] the voice's own recording,
        style [style] its timbre, noise [mels, frames] where to begin. cfg 0 is without guidance, and half the work;
        `cfg_until` in 0..1 guides only in that first part of the steps.
        """
        prompt = np.zeros_like(noise)
        prompt[:, : (known := prompt_mel.shape[1])] = prompt_mel
        conditions: dict[str, npt.NDArray[Any]] = {"prompt": prompt[None], "style": style[None], "mu": mu[None]}
        # the second row is asked without any condition, which training knew as zeros
        with_and_without = {name: np.concatenate([one, np.zeros_like(one)]) for name, one in conditions.items()}
        for asked in (conditions, with_and_without):
            asked["known"] = np.array([known], np.int64)

        def velocity(spoken: Array, t: float) -> Array:
            x = np.concatenate([silent, spoken], axis=1)
            if cfg and t < cfg_until:
                return flow_matching.guided(self._velocity(np.stack([x, x]), t, with_and_without), cfg)
            alone: Array = self._velocity(x[None], t, conditions)[0]
            return alone

        silent = np.zeros_like(prompt_mel)
        spoken = np.asarray(noise[:, known:], np.float32)
        return (yield from flow_matching.follow(spoken, flow_matching.equal_times(steps), velocity))

    def _velocity(self, x: Array, t: float, conditions: dict[str, npt.NDArray[Any]]) -> Array:
        """[rows, mels, frames - prompt]"""
        velocity: Array = self._estimator.run(None, {"x": x, "t": np.array([t], np.float32), **conditions})[0]
        return velocity
