"""The language model at run time: a text's ids and a speaker in, speech tokens out, one at a time.

Knows in which order rows precede the tokens, and where keys, values and the tables of distances are. Knows nothing
about how a token is chosen (`ras`), nor about what is made of it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engines.cosyvoice.sizes import LmSizes
from models.attention import kept_width
from models.cache import Cache
from models.checkpoint import Tensors
from models.session import open_session

Array = npt.NDArray[np.float32]

#: the graphs and the tables in a bundle
NAME = "lm.onnx"
DISTANCES_NAME = "lm_distances.onnx"
TEXT_NAME = "text_encoder.onnx"
TABLES_NAME = "lm_tables.safetensors"
#: tables of distances reach over a multiple of so many rows, of which there is one of each reach for all sequences
_STEP = 256


class Tables:
    """Rows that stand for what is no text: the begin, the task, and each speech token."""

    def __init__(self, begin: Array, task: Array, speech: Array) -> None:
        """begin, task [width]; speech [speech tokens, width]."""
        self.begin = begin
        self.task = task
        self.speech = speech

    @classmethod
    def take(cls, tensors: Tensors, sizes: LmSizes) -> Tables:
        """Out of llm.pt, or what `to_arrays` gave, saved. Raises CheckpointError."""
        width = sizes.decoder.input_width
        begin, task = tensors.take("llm_embedding.weight", (2, width))
        return cls(begin, task, tensors.take("speech_embedding.weight", (sizes.speech_tokens, width)))

    def to_arrays(self) -> Mapping[str, Array]:
        return {"llm_embedding.weight": np.stack([self.begin, self.task]), "speech_embedding.weight": self.speech}


class Lm:
    """One model in memory. Any thread may use it, several at once, each with a `Decoding` of its own."""

    def __init__(self, folder: Path, sizes: LmSizes, tables: Tables, threads: int | None = None) -> None:
        """Open the graphs of a bundle. Raises SessionError."""
        self.sizes = sizes
        self.tables = tables
        self.session = open_session(folder / NAME, threads)
        self._text = open_session(folder / TEXT_NAME, threads)
        self._distances = open_session(folder / DISTANCES_NAME, threads)
        self._made: dict[int, Sequence[Array]] = {}
        self._making = threading.Lock()

    def prefix(
        self,
        text_ids: Sequence[int],
        speaker: Array | None,
        prompt_ids: Sequence[int] = (),
        prompt_tokens: Sequence[int] = (),
    ) -> Array:
        """The rows [n, width] that stand before the speech tokens.

        speaker [speaker width]: None for a text that describes the voice. A prompt's text and its speech tokens are
        what another recording of this speaker says.
        """
        ids = np.array([[*prompt_ids, *text_ids]], np.int64)
        asked = np.zeros(self.sizes.speaker_width, np.float32) if speaker is None else speaker
        text, voice = self._text.run(None, {"ids": ids, "speaker": np.asarray(asked, np.float32).reshape(1, -1)})
        rows = [self.tables.begin[None], text[0], self.tables.task[None], self.tables.speech[list(prompt_tokens)]]
        if speaker is not None:
            rows.insert(1, voice[0])
        return np.concatenate(rows)

    def distances(self, rows: int) -> Sequence[Array]:
        """The tables, one per layer, that reach over so many rows or more; made once."""
        reach = -(-rows // _STEP) * _STEP
        with self._making:
            if reach not in self._made:
                self._made[reach] = self._distances.run(None, {"reach": np.array(reach, np.int64)})
            return self._made[reach]


class Decoding:
    """One sequence, decoded step by step. No two threads may use it at once.

    decoding = Decoding(lm)
    logits = decoding.feed(lm.prefix(text_ids, speaker))    # [ids]
    logits = decoding.token(chosen)
    """

    def __init__(self, lm: Lm) -> None:
        decoder = lm.sizes.decoder
        self._lm = lm
        self._filled = 0
        self.cache = Cache(decoder.layers, decoder.heads, kept_width(decoder.head_width), np.float32, _STEP)

    @property
    def filled(self) -> int:
        """Rows that were fed."""
        return self._filled

    def token(self, token: int) -> Array:
        """Go on with a speech token; the scores [ids] of the next one."""
        return self.feed(self._lm.tables.speech[token][None])

    def feed(self, rows: Array) -> Array:
        """Go on with rows [n, width], the scores [ids] of what follows."""
        filled = self._filled + len(rows)
        self.cache.reserve(1, filled, 1)
        logits: Array = np.empty((1, self._lm.sizes.speech_tokens + 1), np.float32)
        binding = self._lm.session.io_binding()
        binding.bind_cpu_input("embeddings", np.ascontiguousarray(rows[None]))
        binding.bind_cpu_input("last", np.array([filled - 1], np.int32))
        binding.bind_cpu_input("filled", np.array(filled, np.int32))
        for layer, table in enumerate(self._lm.distances(filled)):
            binding.bind_input(f"distances_{layer}", "cpu", 0, table.dtype, table.shape, table.ctypes.data)
        self.cache.bind(binding, 0, 1)
        binding.bind_output("logits", "cpu", 0, logits.dtype, logits.shape, logits.ctypes.data)
        self._lm.session.run_with_iobinding(binding)
        self._filled = filled
        return logits.reshape(-1)
