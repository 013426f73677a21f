"""A stack of self-attention layers over a whole sequence: the encoder of texts, and that of the flow.

ESPnet's Conformer encoder (Gulati et al., arXiv:2005.08100) without its convolutions and first feed-forward parts.
"""

from __future__ import annotations

import numpy as np

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
from engines.cosyvoice.sizes import EncoderSizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.parts import count, join_heads, split_heads


def encode(
    graph: Graph, tensors: Tensors, sizes: EncoderSizes, x: str, causal: bool, precision: Precision = "fp32"
) -> str:
    """[1, N, input width] -> [1, N, width]. Takes `embed`, `encoders` and `after_norm`; raises CheckpointError.

    causal: a row sees itself and those before it; else all.
    """
    rows = count(graph, x, 1)
    first = graph.op("Sub", rows, graph.constant(np.int64(1)))
    table = waves(graph, first, rows if causal else graph.add(rows, first), sizes.width)
    where = places(graph, rows, rows, first, causal)
    x = take_in(graph, tensors, sizes, x, False, precision)
    for number in range(sizes.layers):
        layer = tensors.scope(f"encoders.{number}.")
        inner = norm(graph, layer, "norm_mha", x, sizes.width, EPSILON)
        x = graph.add(x, _attention(graph, layer.scope("self_attn."), sizes, inner, table, where, causal, precision))
        inner = norm(graph, layer, "norm_ff", x, sizes.width, EPSILON)
        x = graph.add(x, feed_forward(graph, layer, sizes, inner, "Silu", precision))
    return norm(graph, tensors, "after_norm", x, sizes.width, INPUT_EPSILON)


def _attention(
    graph: Graph,
    tensors: Tensors,
    sizes: EncoderSizes,
    x: str,
    table: str,
    where: str,
    causal: bool,
    precision: Precision,
) -> str:
    width, heads, head_width = sizes.width, sizes.heads, sizes.head_width
    made = []
    for name in ("q", "k", "v"):
        weight = tensors.take(f"linear_{name}.weight", (width, width))
        flat = graph.linear(x, weight, tensors.take(f"linear_{name}.bias", (width,)), precision)
        made.append(split_heads(graph, flat, heads, head_width))
    query, key, value = made
    distances = graph.linear(table, tensors.take("linear_pos.weight", (width, width)))
    distances = graph.transpose(graph.reshape(distances, 0, heads, head_width), 1, 0, 2)
    by_content, by_distance = (
        graph.add(query, graph.constant(tensors.take(f"pos_bias_{one}", (heads, head_width))[:, None]))
        for one in ("u", "v")
    )
    scores = graph.op("MatMul", by_content, graph.transpose(key, 0, 1, 3, 2))
    scores = graph.add(scores, scores_of_distance(graph, by_distance, distances, where))
    scores = graph.mul(scores, graph.constant(np.float32(head_width**-0.5)))
    if causal:
        ahead = graph.op("Expand", graph.constant(-np.inf, "float32"), graph.op("Shape", where))
        ahead = graph.op("Trilu", ahead, graph.constant(np.int64(1)), upper=1)
        scores = graph.add(scores, ahead)
    attended = join_heads(graph, graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value), heads, head_width)
    weight, bias = tensors.take("linear_out.weight", (width, width)), tensors.take("linear_out.bias", (width,))
    return graph.linear(attended, weight, bias, precision)
