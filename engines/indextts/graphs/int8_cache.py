"""The autoregressive graph once more, over keys and values of 8 bit: a quarter of the memory that each step reads.

Written beside a graph whose weights it shares. What one whole number stands for is measured here, with the model's own
tables: each channel of each head has its own scale. The attention operator of ONNX Runtime 1.31 and newer takes this.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from engines.indextts.gpt import NAME, STEP_NAME, Gpt, name_with_cache
from engines.indextts.sizes import Sizes
from engines.indextts.tables import Tables

Array = npt.NDArray[np.float32]

#: sequences that are looked at, and the most tokens and codes of each
_LOOKS, _TOKENS, _CODES = 4, 60, 200
#: how far beyond the largest value that was seen the scale still reaches; anything larger is cut off
_RESERVE = 1.5
#: where the operator's inputs have the scales of keys and values
_SCALES_AT = 12


def write_int8_caches(folder: Path, sizes: Sizes, tables: Tables, voice_rows: int) -> None:
    """For the model's graphs in `folder`, write those with keys and values of 8 bit. Raises SessionError.

    voice_rows: of what a sequence begins with, see `VoiceBundle.conditioning`.
    """
    scales = measure_scales(Gpt(folder, sizes, tables), tables, voice_rows)
    for name in (NAME, STEP_NAME):
        if (folder / name).is_file():
            model = onnx.load(folder / name, load_external_data=False)
            _rewrite(model, scales)
            (folder / name_with_cache(name, "int8")).write_bytes(model.SerializeToString())


def measure_scales(gpt: Gpt, tables: Tables, voice_rows: int) -> list[Array]:
    """What 1 stands for in each array of a cache [1, heads, 1, kept width], after made-up voices, texts and codes."""
    random, sizes = np.random.default_rng(0), gpt.sizes
    tokens = min(_TOKENS, sizes.max_text_tokens)
    codes = min(_CODES, gpt.longest)
    spoken = [code for code in range(sizes.codes) if code not in (sizes.start_code, sizes.stop_code)]
    largest: list[Array] = []
    for _ in range(_LOOKS):
        text = random.integers(0, sizes.text_tokens, tokens).tolist()
        like = tables.text_embedding.std() * random.standard_normal((voice_rows, sizes.width), np.float32)
        embeddings = np.concatenate(
            [
                gpt.prefix(like, text),
                gpt.embedded([sizes.start_code], [0]),
                gpt.embedded(random.choice(spoken, codes - 1).tolist(), range(2, codes + 1)),
            ]
        )
        cache = gpt.cache(len(embeddings))
        gpt.run(embeddings[None], [len(embeddings)], cache)
        seen = [np.abs(array).max(axis=(0, 2), keepdims=True) for array in cache.arrays]
        largest = [np.maximum(*pair) for pair in zip(largest, seen, strict=True)] if largest else seen
    return [np.where(one > 0, one * (_RESERVE / 127), 1).astype(np.float32) for one in largest]


def _rewrite(model: onnx.ModelProto, scales: Sequence[Array]) -> None:
    graph = model.graph
    for value in (*graph.input, *graph.output):
        if value.name.startswith(("past_", "present_")):
            value.type.tensor_type.elem_type = TensorProto.INT8
    layers = [node for node in graph.node if node.op_type == "GroupQueryAttention"]
    for layer, node in enumerate(layers):
        names = [f"{kind}_scale_{layer}" for kind in ("key", "value")]
        graph.initializer.extend(map(numpy_helper.from_array, scales[2 * layer : 2 * layer + 2], names))
        node.input.extend([""] * (_SCALES_AT - len(node.input)) + names)
        attributes = {"k_quant_type": "PER_CHANNEL", "v_quant_type": "PER_CHANNEL", "kv_cache_bit_width": 8}
        node.attribute.extend(helper.make_attribute(*one) for one in attributes.items())
