"""Flow matching (Lipman et al., arXiv:2210.02747): from noise at t = 0 along a velocity to what t = 1 has, in a few
steps of Euler's, with classifier-free guidance (Ho and Salimans, arXiv:2207.12598).

Knows nothing about what makes the velocity.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def equal_times(steps: int) -> list[float]:
    """From 0 to 1, `steps` times as far."""
    return [step / steps for step in range(steps + 1)]


def cosine_times(steps: int) -> list[float]:
    """From 0 to 1 with the first steps the shortest: 1 - cos(pi t / 2) for equal t."""
    return [1 - float(np.cos(0.5 * np.pi * t)) for t in equal_times(steps)]


def follow(x: Array, times: Sequence[float], velocity: Callable[[Array, float], Array]) -> Generator[None, None, Array]:
    """Where x, which is not changed, has come to at the last time; stops before each step, for other work or for good.

    velocity(x, t) is that of x, of its shape.
    """
    for t, later in pairwise(times):
        yield
        x = x + np.float32(later - t) * velocity(x, t)
    return x


def guided(velocities: Array, guidance: float) -> Array:
    """Of what was said with the conditions and without them, [2, ...], the first, driven away from the second."""
    return np.asarray((1 + guidance) * velocities[0] - guidance * velocities[1], np.float32)
