"""Stretches an utterance's semantic features from their own rate to mel frames.

Knows nothing about where the features come from: the voice's own go through here as well as what the GPT says.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.network import Network

Array = npt.NDArray[np.float32]

#: mel frames per semantic code, as the release counts them
FRAMES_PER_CODE = 1.72


def frames_of(codes: int, speed: float = 1.0) -> int:
    """Mel frames that so many codes become, at least one."""
    return max(1, int(codes * FRAMES_PER_CODE / speed))


class LengthRegulator:
    """regulator = LengthRegulator(session)
    condition = regulator(features, frames_of(len(codes)))
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def __call__(self, features: Array, frames: int) -> Array:
        """features [codes, in] -> the estimator's condition [frames, width]."""
        condition: Array = self._network.run(
            None, {"features": features[None], "frames": np.array([frames], np.int64)}
        )[0][0]
        return condition
