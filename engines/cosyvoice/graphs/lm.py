"""The language model as one graph, for what precedes the speech tokens and for single steps; and its distances.

Keys and values lie in buffers [1, heads, capacity, kept width] that the caller owns and binds as past and present at
once, so that a run writes only its new rows. What depends on the distance between rows alone is computed once by the
second graph, and bound as well. Embeddings are the caller's too.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from engines.cosyvoice.graphs.relative import (
    EPSILON,
    INPUT_EPSILON,
    feed_forward,
    norm,
    places,
    scores_of_distance,
    take_in,
    waves,
)
from engines.cosyvoice.sizes import EncoderSizes, LmSizes
from models.attention import fill_heads, kept_width
from models.checkpoint import Tensors
from models.graph import MICROSOFT, Array, Graph, Precision
from models.parts import count, split_heads


def build(tensors: Tensors, sizes: LmSizes, precision: Precision) -> Graph:
    """Take `llm` and `llm_decoder` out of llm.pt, but for what `build_distances` takes.

    Inputs: embeddings [1, steps, input width] float32; last [1] int32, the last row that is filled after this run;
    filled [] int32, one more; distances_N [heads, reach, kept width], from reach - 1 rows away down to 0, for a reach
    of at least `filled`; past_key_N, past_value_N. Outputs: logits [1, ids] of the last step; present_key_N,
    present_value_N. Raises CheckpointError.
    """
    graph = Graph("lm")
    decoder, ids = sizes.decoder, sizes.speech_tokens + 1
    scope = tensors.scope("llm.")
    x = graph.input("embeddings", "float32", [1, "steps", decoder.input_width])
    last = graph.input("last", "int32", [1])
    filled = graph.input("filled", "int32", [])
    shape: list[int | str] = [decoder.heads, "reach", kept_width(decoder.head_width)]
    tables = [graph.input(f"distances_{layer}", "float32", shape) for layer in range(decoder.layers)]
    first = graph.op("Sub", count(graph, tables[0], 1), graph.constant(np.int64(1)))
    rows = graph.op("Cast", filled, to=TensorProto.INT64)
    where = places(graph, count(graph, x, 1), rows, first, causal=True)
    x = take_in(graph, scope, decoder, x, True, precision)
    for number, table in enumerate(tables):
        layer = scope.scope(f"encoders.{number}.")
        inner = norm(graph, layer, "norm1", x, decoder.width, EPSILON)
        attention = _Attention(graph, layer.scope("self_attn."), decoder, precision)
        x = graph.add(x, attention.over(inner, number, table, where, last, filled))
        inner = norm(graph, layer, "norm2", x, decoder.width, EPSILON)
        x = graph.add(x, feed_forward(graph, layer, decoder, inner, "Relu", precision))
    # Only the last step is followed by a token.
    x = graph.op("Gather", x, graph.constant(-1), axis=1)
    x = norm(graph, scope, "after_norm", x, decoder.width, INPUT_EPSILON)
    weight, bias = tensors.take("llm_decoder.weight", (ids, decoder.width)), tensors.take("llm_decoder.bias", (ids,))
    graph.output("logits", graph.linear(x, weight, bias, precision), "float32", [1, ids])
    return graph


def build_distances(tensors: Tensors, sizes: LmSizes) -> Graph:
    """Take each layer's `linear_pos`. Input: reach [] int64. Outputs: distances_N, as the language model takes them."""
    graph = Graph("lm_distances")
    decoder = sizes.decoder
    reach = graph.input("reach", "int64", [])
    first = graph.op("Sub", reach, graph.constant(np.int64(1)))
    table = waves(graph, first, reach, decoder.width)
    heads, kept = decoder.heads, kept_width(decoder.head_width)
    for number in range(decoder.layers):
        name = f"llm.encoders.{number}.self_attn.linear_pos.weight"
        weight = tensors.take(name, (decoder.width, decoder.width))
        made = graph.linear(table, fill_heads(weight, 0, heads, decoder.head_width))
        made = graph.transpose(graph.reshape(made, 0, heads, kept), 1, 0, 2)
        graph.output(f"distances_{number}", made, "float32", [heads, "reach", kept])
    return graph


class _Attention:
    """One layer's attention, over what its buffers hold and the new rows."""

    def __init__(self, graph: Graph, tensors: Tensors, sizes: EncoderSizes, precision: Precision) -> None:
        self._graph = graph
        self._tensors = tensors
        self._sizes = sizes
        self._precision = precision

    def over(self, x: str, number: int, table: str, where: str, last: str, filled: str) -> str:
        graph, sizes, width = self._graph, self._sizes, self._sizes.width
        kept, scale = kept_width(sizes.head_width), sizes.head_width**-0.5
        by_content, by_distance = (self._filled(f"pos_bias_{one}") for one in ("u", "v"))
        weights, biases = zip(*(self._linear(one) for one in ("q", "k", "v")), strict=True)
        bias = np.concatenate([biases[0] + by_content, *biases[1:]])
        packed = graph.linear(x, np.concatenate(weights), bias, self._precision)
        # A query is met by keys with one bias and by distances with another; the first one is in it already.
        query = graph.slice(packed, 0, sizes.heads * kept, 2)
        query = graph.mul(graph.add(query, graph.constant(by_distance - by_content)), graph.constant(np.float32(scale)))
        by_distance_scores = scores_of_distance(graph, split_heads(graph, query, sizes.heads, kept), table, where)
        shape: list[int | str] = [1, sizes.heads, "capacity", kept]
        past = [graph.input(f"past_{kind}_{number}", "float32", shape) for kind in ("key", "value")]
        attended, key, value = graph.ops(
            "GroupQueryAttention",
            *(packed, "", "", *past, last, filled, "", "", "", by_distance_scores),
            outputs=3,
            domain=MICROSOFT,
            num_heads=sizes.heads,
            kv_num_heads=sizes.heads,
            scale=scale,
        )
        graph.output(f"present_key_{number}", key, "float32", shape)
        graph.output(f"present_value_{number}", value, "float32", shape)
        weight = self._tensors.take("linear_out.weight", (width, width))
        weight = fill_heads(weight, 1, sizes.heads, sizes.head_width)
        return graph.linear(attended, weight, self._tensors.take("linear_out.bias", (width,)), self._precision)

    def _linear(self, name: str) -> tuple[Array, Array]:
        width, heads, head_width = self._sizes.width, self._sizes.heads, self._sizes.head_width
        weight = self._tensors.take(f"linear_{name}.weight", (width, width))
        bias = self._tensors.take(f"linear_{name}.bias", (width,))
        return fill_heads(weight, 0, heads, head_width), fill_heads(bias, 0, heads, head_width)

    def _filled(self, name: str) -> Array:
        heads, head_width = self._sizes.heads, self._sizes.head_width
        return fill_heads(self._tensors.take(name, (heads, head_width)).reshape(-1), 0, heads, head_width)
