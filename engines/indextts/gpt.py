"""The autoregressive model at run time: embeddings in, hidden states and scores of codes out.

Knows the order of positions that the release decodes with, and where the keys and values are. Knows nothing about how
codes are chosen, nor about which sequences are decoded together: see `sampling` and `decoding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from engines.errors import InvalidRequest
from engines.indextts.sizes import Sizes
from engines.indextts.tables import Tables
from models.cache import Cache
from models.session import open_session

Array = npt.NDArray[np.float32]

#: how keys and values are kept
Kept = Literal["fp32", "int8"]
#: the model's graph in a bundle
NAME = "gpt.onnx"
#: the same with smaller weights, for single steps alone, which take as long as reading the weights does; few bundles
#: have it
STEP_NAME = "gpt_step.onnx"


def name_with_cache(name: str, kept: Kept) -> str:
    """The file of a graph that keeps keys and values so."""
    return name if kept == "fp32" else name.replace(".onnx", f"_{kept}_cache.onnx")


class Gpt:
    """One model in memory. Any thread may use it, several at once, each with caches of its own."""

    def __init__(
        self, folder: Path, sizes: Sizes, tables: Tables, threads: int | None = None, kv: Kept = "fp32"
    ) -> None:
        """Open the graphs of a bundle. Raises SessionError."""
        self.sizes = sizes.gpt
        self._tables = tables
        self._kept = np.float32 if kv == "fp32" else np.int8
        self._session = self._stepping = open_session(folder / name_with_cache(NAME, kv), threads)
        if (folder / STEP_NAME).is_file():
            self._stepping = open_session(folder / name_with_cache(STEP_NAME, kv), threads)

    @property
    def longest(self) -> int:
        """Codes that the table of positions can carry in decoding."""
        return len(self._tables.mel_position) - 1

    def prefix(self, conditioning: Array, text_ids: Sequence[int]) -> Array:
        """What stands before the codes: the voice's rows [n, width], then the text between its marks, with positions.

        Raises InvalidRequest when the text has more tokens than the table of positions.
        """
        marks = (self.sizes.start_text, self.sizes.stop_text)
        ids = [marks[0], *(one for one in text_ids if one not in marks), marks[1]]
        positions = self._tables.text_position
        if len(ids) > len(positions):
            raise InvalidRequest(
                f"a segment has {len(ids) - 2} tokens; at most {len(positions) - 2} can be spoken at once"
            )
        return np.concatenate([conditioning, self._tables.text_embedding[ids] + positions[: len(ids)]])

    def embedded(self, codes: Sequence[int], positions: Sequence[int]) -> Array:
        """Codes at positions of the table, as the graph takes them: [n, width]."""
        return self._tables.mel_embedding[codes] + self._tables.mel_position[positions]

    def cache(self, positions: int, rows: int = 1) -> Cache:
        """Room for sequences of this model."""
        return Cache(self.sizes.layers, self.sizes.heads, self.sizes.kept_width, self._kept, positions, rows)

    def prefill(self, prefix: Array, cache: Cache, row: int = 0) -> tuple[Array, Array]:
        """Run the prefix [n, width] and the start code into positions 0 to n of a row.

        Gives the state [width] and the scores [codes] that predict the first code.
        """
        embeddings = np.concatenate([prefix, self.embedded([self.sizes.start_code], [0])])
        hidden, logits = self.run(embeddings[None], [len(embeddings)], cache, row)
        return hidden[0, -1], logits[0]

    def run(self, embeddings: Array, filled: Sequence[int], cache: Cache, first: int = 0) -> tuple[Array, Array]:
        """Run embeddings [rows, steps, width] into the rows of the cache from `first` on.

        filled: positions that each row has afterwards. Several steps go for one row at a time. Gives the states
        [rows, steps, width] and, of each row's last step, the scores [rows, codes].
        """
        rows, steps, width = embeddings.shape
        hidden, logits = np.empty((rows, steps, width), np.float32), np.empty((rows, self.sizes.codes), np.float32)
        session = self._stepping if steps == 1 else self._session
        binding = session.io_binding()
        binding.bind_cpu_input("embeddings", np.ascontiguousarray(embeddings))
        binding.bind_cpu_input("filled", np.asarray(filled, np.int32) - 1)
        binding.bind_cpu_input("longest", np.asarray(max(filled), np.int32))
        cache.bind(binding, first, rows)
        for name, array in (("hidden", hidden), ("logits", logits)):
            binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        session.run_with_iobinding(binding)
        return hidden, logits


class LatentPass:
    """The second pass over codes that were chosen, which gives the states that later networks take.

    Decoding never uses position 1 of the table: it goes 0, 2, 3, … . This pass goes 0, 1, 2, …, as in training, so that
    its states are others. It begins behind a prefix that is in its cache already, and takes codes piece by piece.
    """

    def __init__(self, gpt: Gpt, cache: Cache, filled: int, hidden: Array) -> None:
        """cache: one row of its own, `filled` with prefix and start code; hidden [width]: the state of the latter."""
        self._gpt = gpt
        self._cache = cache
        self._prefix = filled
        self._hidden = hidden
        self._codes: list[int] = []

    def push(self, codes: Sequence[int]) -> Array:
        """The states [n, width] that predict these codes, which follow on those pushed before."""
        if not codes:
            return np.empty((0, self._gpt.sizes.width), np.float32)
        begin, known = len(self._codes), [*self._codes, *codes]
        # The state that predicts a code is that of the code before it; the first one's came with the prefix.
        fed = range(max(0, begin - 1), len(known) - 1)
        self._codes = known
        states = [self._hidden[None]] if begin == 0 else []
        if fed:
            filled = self._prefix + fed.stop
            self._cache.reserve(1, filled, 1)
            embeddings = self._gpt.embedded(known[fed.start : fed.stop], range(fed.start + 1, fed.stop + 1))
            states.append(self._gpt.run(embeddings[None], [filled], self._cache)[0][0])
        return np.concatenate(states)
