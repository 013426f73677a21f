"""Where two pieces of one signal overlap, one fades into the other. Knows nothing about what the signal is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


def cross_fade(earlier: Array, later: Array, rising: Array, falling: Array | None = None) -> Array:
    """`later` [..., n], whose beginning has `earlier` [..., overlap] faded out of it.

    rising and falling [overlap] are their shares; without the second both together are always one.
    """
    out = 1 - rising if falling is None else falling
    overlap = len(rising)
    faded = np.array(later, np.float32)
    faded[..., :overlap] = rising * later[..., :overlap] + out * earlier
    return faded


def hamming(overlap: int) -> tuple[Array, Array]:
    """Rising and falling halves of a Hamming window twice as long. Together they are a little more than one."""
    window = np.hamming(2 * overlap).astype(np.float32)
    return window[:overlap], window[overlap:]
