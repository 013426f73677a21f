"""Sequences of another length, by straight lines between their samples. Knows nothing about what they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def stretch(x: Array, length: int) -> Array:
    """[..., n] -> [..., length]: each new sample from the two that it lies between, where both sequences span the same
    time and a sample stands in the middle of its share. The outermost are held beyond the middles of the last shares.
    As torch's `interpolate` of mode "linear" without `align_corners`. Raises ValueError if there is nothing to stretch.
    """
    old = x.shape[-1]
    if old == 0 and length:
        raise ValueError("nothing cannot be stretched to something")
    place = np.clip((np.arange(length) + 0.5) * (old / max(1, length)) - 0.5, 0, max(0, old - 1))
    before = place.astype(np.int64)
    behind = np.minimum(before + 1, old - 1)
    share = (place - before).astype(np.float32)
    return np.asarray(x[..., before] * (1 - share) + x[..., behind] * share, np.float32)
