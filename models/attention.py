"""What ONNX Runtime's attention over keys and values in place (GroupQueryAttention) asks of the widths of heads.

It takes multiples of 8, so zeros fill up narrower heads: they change no product. Knows nothing about any model.
"""

from __future__ import annotations

import numpy as np

from models.graph import Array

_MULTIPLE = 8


def kept_width(head_width: int) -> int:
    """Channels of a head's keys and values as they are kept."""
    return -(-head_width // _MULTIPLE) * _MULTIPLE


def fill_heads(array: Array, axis: int, heads: int, head_width: int) -> Array:
    """Zeros behind each head's channels, which lie along an axis, as far as heads are kept."""
    kept = kept_width(head_width)
    if kept == head_width:
        return array
    split = array.reshape(*array.shape[:axis], heads, head_width, *array.shape[axis + 1 :])
    pads = [(0, 0)] * split.ndim
    pads[axis + 1] = (0, kept - head_width)
    return np.pad(split, pads).reshape(*array.shape[:axis], -1, *array.shape[axis + 1 :])
