"""Qwen3 as one graph, for a prompt and for single tokens: a decoder-only transformer that reads what a text feels like.

RMS norms, also of each head's queries and keys, rotary positions, fewer heads of keys than of queries, SwiGLU: Qwen
Team 2025, "Qwen3 Technical Report", arXiv:2505.09388. Tensors have the names that the transformers library gives them.
Keys and values lie in buffers [1, heads, capacity, head width] that the caller owns and binds as past and present.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from models.checkpoint import Tensors
from models.graph import MICROSOFT, Array, Graph, Precision
from models.parts import range_to

_FLOAT, _INT64 = 1, 7  # onnx.TensorProto
#: rows of the head that are rounded at once, so that the vocabulary's whole table is never there several times
_HEAD_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class QwenSizes:
    """A Qwen3 model."""

    width: int
    layers: int
    heads: int
    key_heads: int
    head_width: int
    linear_width: int
    tokens: int
    rotary_base: float
    epsilon: float
    tied: bool  # the table of tokens is the head, too

    @classmethod
    def of_config(cls, config: Mapping[str, Any]) -> Self:
        """From the model's config.json. Raises ValueError that names what is missing or of another design."""
        rotary = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
        kind = rotary.get("rope_type", rotary.get("type", "default"))
        for name, value, expected in (
            ("model_type", config.get("model_type"), "qwen3"),
            ("hidden_act", config.get("hidden_act", "silu"), "silu"),
            ("use_sliding_window", bool(config.get("use_sliding_window")), False),
            ("rope_type", kind, "default"),
        ):
            if value != expected:
                raise ValueError(f"the text model's config.json says {name}: {value}; only {expected} is known here")
        try:
            return cls(
                width=config["hidden_size"],
                layers=config["num_hidden_layers"],
                heads=config["num_attention_heads"],
                key_heads=config["num_key_value_heads"],
                head_width=config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"],
                linear_width=config["intermediate_size"],
                tokens=config["vocab_size"],
                rotary_base=float(rotary["rope_theta"] if "rope_theta" in rotary else config["rope_theta"]),
                epsilon=float(config["rms_norm_eps"]),
                tied=bool(config.get("tie_word_embeddings")),
            )
        except KeyError as error:
            raise ValueError(f"the text model's config.json lacks {error}") from None


def build(tensors: Tensors, sizes: QwenSizes, precision: Precision) -> Graph:
    """Take the whole checkpoint.

    Inputs: ids [1, steps] int64; total [] int32, the positions filled after this run; past_key_N, past_value_N.
    Outputs: logits [1, tokens] of the last step; present_key_N, present_value_N.

    Weights of linear maps are kept in blocks of 8 bit for int8, not per output: this family's activations have single
    values so large that a scale for all of them would leave the others nothing. Raises CheckpointError.
    """
    graph = Graph("qwen")
    ids = graph.input("ids", "int64", [1, "steps"])
    total = graph.input("total", "int32", [])
    table = tensors.take("model.embed_tokens.weight", (sizes.tokens, sizes.width))
    x = _embedded(graph, table, ids, precision)
    head = table if sizes.tied else tensors.take("lm_head.weight", (sizes.tokens, sizes.width))
    tensors.ignore(lambda name: name == "lm_head.weight")  # some write a tied one down as well
    past = _Past(graph, sizes, total)
    for layer in range(sizes.layers):
        x = _Layer(graph, tensors.scope(f"model.layers.{layer}."), sizes, precision).build(x, layer, past)
    last = graph.op("Gather", x, graph.constant(-1), axis=1)
    last = _norm(graph, tensors, "model.norm", last, sizes.width, sizes.epsilon)
    parts = np.array_split(head, -(-sizes.tokens // _HEAD_ROWS))
    logits = graph.concat(*(_product(graph, last, part, None, precision) for part in parts), axis=-1)
    graph.output("logits", logits, "float32", [1, sizes.tokens])
    tensors.finish()
    return graph


class _Past:
    """What attention takes beside queries, keys and values: how much is filled, and the rotation of each position."""

    def __init__(self, graph: Graph, sizes: QwenSizes, total: str) -> None:
        half = sizes.head_width // 2
        frequencies = sizes.rotary_base ** (-np.arange(half, dtype=np.float64) / half)
        positions = graph.op("Cast", range_to(graph, graph.op("Cast", total, to=_INT64)), to=_FLOAT)
        angles = graph.mul(graph.reshape(positions, -1, 1), graph.constant(frequencies[None].astype(np.float32)))
        self.total = total
        self.last = graph.reshape(graph.op("Sub", total, graph.constant(np.int32(1))), 1)
        self.rotation = (graph.op("Cos", angles), graph.op("Sin", angles))


@dataclass(frozen=True, slots=True)
class _Layer:
    """Pre-norm attention and feed-forward, each added to its input."""

    graph: Graph
    tensors: Tensors
    sizes: QwenSizes
    precision: Precision

    def build(self, x: str, layer: int, past: _Past) -> str:
        graph, sizes = self.graph, self.sizes
        normed = _norm(graph, self.tensors, "input_layernorm", x, sizes.width, sizes.epsilon)
        x = graph.add(x, self._attention(normed, layer, past))
        normed = _norm(graph, self.tensors, "post_attention_layernorm", x, sizes.width, sizes.epsilon)
        through = graph.silu(self._linear("mlp.gate_proj", normed, sizes.width, sizes.linear_width))
        value = self._linear("mlp.up_proj", normed, sizes.width, sizes.linear_width)
        return graph.add(x, self._linear("mlp.down_proj", graph.mul(through, value), sizes.linear_width, sizes.width))

    def _attention(self, x: str, layer: int, past: _Past) -> str:
        graph, sizes = self.graph, self.sizes
        queries, keys = sizes.heads * sizes.head_width, sizes.key_heads * sizes.head_width
        query = self._normed_heads("self_attn.q", x, sizes.heads)
        key = self._normed_heads("self_attn.k", x, sizes.key_heads)
        value = self._linear("self_attn.v_proj", x, sizes.width, keys)
        shape: list[int | str] = [1, sizes.key_heads, "capacity", sizes.head_width]
        before = [graph.input(f"past_{kind}_{layer}", "float32", shape) for kind in ("key", "value")]
        attended, *present = graph.ops(
            "GroupQueryAttention",
            *(query, key, value, *before, past.last, past.total, *past.rotation),
            outputs=3,
            domain=MICROSOFT,
            num_heads=sizes.heads,
            kv_num_heads=sizes.key_heads,
            do_rotary=1,
        )
        for kind, name in zip(("key", "value"), present, strict=True):
            graph.output(f"present_{kind}_{layer}", name, "float32", shape)
        return self._linear("self_attn.o_proj", attended, queries, sizes.width)

    def _normed_heads(self, name: str, x: str, heads: int) -> str:
        """[1, steps, width] -> [1, steps, heads * head width], each head normed by itself."""
        graph, width = self.graph, self.sizes.head_width
        apart = graph.reshape(self._linear(f"{name}_proj", x, self.sizes.width, heads * width), 0, 0, heads, width)
        normed = _norm(graph, self.tensors, f"{name}_norm", apart, width, self.sizes.epsilon)
        return graph.reshape(normed, 0, 0, heads * width)

    def _linear(self, name: str, x: str, inputs: int, outputs: int) -> str:
        weight, bias = self.tensors.take(f"{name}.weight", (outputs, inputs)), None
        if f"{name}.bias" in self.tensors:
            bias = self.tensors.take(f"{name}.bias", (outputs,))
        return _product(self.graph, x, weight, bias, self.precision)


def _product(graph: Graph, x: str, weight: Array, bias: Array | None, precision: Precision) -> str:
    return graph.linear(x, weight, bias, "int8_blocks" if precision == "int8" else precision)


def _embedded(graph: Graph, table: Array, ids: str, precision: Precision) -> str:
    """Rows of the table, of which the others are never read: half precision saves room on the disk alone."""
    if precision == "fp32":
        return graph.op("Gather", graph.constant(table), ids, axis=0)
    return graph.op("Cast", graph.op("Gather", graph.constant(table.astype(np.float16)), ids, axis=0), to=_FLOAT)


def _norm(graph: Graph, tensors: Tensors, name: str, x: str, width: int, epsilon: float) -> str:
    """RMS norm over the last axis (arXiv:1910.07467)."""
    weight = graph.constant(tensors.take(f"{name}.weight", (width,)))
    return graph.op("SimplifiedLayerNormalization", x, weight, axis=-1, epsilon=epsilon, stash_type=_FLOAT)
