"""The keys and values of some sequences, in buffers that grow with their number and their length.

A graph reads and writes them in place, bound as past and present at once. Knows nothing about what is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnxruntime

#: a buffer's positions are a multiple of this, so that short sequences do not make it grow all the time
_STEP = 256


class Cache:
    """Rows of keys and values, in two `arrays` [rows, heads, positions, kept width] per layer: keys, then values.

    Positions that nobody wrote have no memory behind them yet, rows neither: the system lends pages at the first write.
    """

    def __init__(
        self, layers: int, heads: int, kept_width: int, dtype: npt.DTypeLike, positions: int, rows: int = 1
    ) -> None:
        self._layers = layers
        self._heads = heads
        self._kept_width = kept_width
        self._dtype = np.dtype(dtype)
        self.rows = rows
        self.positions = positions
        self.arrays = [self._empty() for _ in range(2 * layers)]
        kinds = [f"{kind}_{layer}" for layer in range(layers) for kind in ("key", "value")]
        self._names = [(f"past_{kind}", f"present_{kind}") for kind in kinds]

    def _empty(self) -> npt.NDArray[Any]:
        return np.empty((self.rows, self._heads, self.positions, self._kept_width), self._dtype)

    def reserve(self, rows: int, positions: int, most_rows: int) -> None:
        """Have room for so many; where there is none, for twice the rows but no more than the most, or half as many
        positions more than there were."""
        old_rows, old_positions = self.rows, self.positions
        if rows > old_rows:
            self.rows = min(max(rows, 2 * old_rows), most_rows)
        if positions > old_positions:
            self.positions = -(-max(positions, 3 * old_positions // 2) // _STEP) * _STEP
        if (self.rows, self.positions) == (old_rows, old_positions):
            return
        try:
            for place, old in enumerate(self.arrays):  # one after the other, so that little is there twice
                new = self._empty()
                new[:old_rows, :, :old_positions] = old[:old_rows, :, :old_positions]
                self.arrays[place] = new
        except MemoryError:  # what has grown is not used: each array holds at least what the cache says
            self.rows, self.positions = old_rows, old_positions
            raise

    def move(self, sources: Sequence[int], rows: Sequence[int], start: int, stop: int) -> None:
        """Write positions from `start` to before `stop` of the rows `sources` to `rows`, all at once."""
        here, there = list(sources), list(rows)
        for array in self.arrays:
            array[there, :, start:stop] = array[here, :, start:stop]

    def part(self, row: int, stop: int, positions: int) -> Self:
        """One row of its own, with room for `positions`, and those before `stop` as they are here."""
        part = type(self)(self._layers, self._heads, self._kept_width, self._dtype, positions)
        for new, old in zip(part.arrays, self.arrays, strict=True):
            new[0, :, :stop] = old[row, :, :stop]
        return part

    def bind(self, binding: onnxruntime.IOBinding, first: int, rows: int) -> None:
        """Let a run see `rows` rows from `first` on, and write to them."""
        for (past, present), array in zip(self._names, self.arrays, strict=True):
            shape = (rows, *array.shape[1:])  # its own: one may have grown before there was no memory for the next
            begin = array.__array_interface__["data"][0] + first * array.strides[0]
            binding.bind_input(past, "cpu", 0, self._dtype, shape, begin)
            binding.bind_output(present, "cpu", 0, self._dtype, shape, begin)
