"""Attention that knows how far apart two rows are: the pieces that the encoders and the language model share.

Besides their content, a query at row i and a key at row j are scored by a table's entry for i - j. Dai et al.,
"Transformer-XL", arXiv:1901.02860. Tensors have the names that ESPnet gives its `RelPositionMultiHeadedAttention`.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from engines.cosyvoice.sizes import EncoderSizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.parts import range_to

#: the longest wave of the table, in rows over 2 pi: Vaswani et al., arXiv:1706.03762
_LONGEST = 10000.0
INPUT_EPSILON = 1e-5
#: of the norms inside of layers
EPSILON = 1e-12


def take_in(graph: Graph, tensors: Tensors, sizes: EncoderSizes, x: str, rectify: bool, precision: Precision) -> str:
    """What stands before the layers: [1, N, input width] -> [1, N, width]. Takes `embed.out`."""
    weight = tensors.take("embed.out.0.weight", (sizes.width, sizes.input_width))
    x = graph.linear(x, weight, tensors.take("embed.out.0.bias", (sizes.width,)), precision)
    # The root of the width, by which everything is multiplied behind this, is part of the norm: a positive factor goes
    # through the rectifier.
    root = np.float32(np.sqrt(sizes.width))
    scale, shift = (tensors.take(f"embed.out.1.{name}", (sizes.width,)) * root for name in ("weight", "bias"))
    x = graph.layer_norm(x, scale, shift, INPUT_EPSILON)
    return graph.op("Relu", x) if rectify else x


def norm(graph: Graph, tensors: Tensors, name: str, x: str, width: int, epsilon: float) -> str:
    """A layer's norm over the last axis."""
    return graph.layer_norm(
        x, tensors.take(f"{name}.weight", (width,)), tensors.take(f"{name}.bias", (width,)), epsilon
    )


def feed_forward(graph: Graph, tensors: Tensors, sizes: EncoderSizes, x: str, kind: str, precision: Precision) -> str:
    """Takes `feed_forward`. kind: the activation between, Relu or Silu."""
    wide, narrow = sizes.linear_width, sizes.width
    weight, bias = (
        tensors.take("feed_forward.w_1.weight", (wide, narrow)),
        tensors.take("feed_forward.w_1.bias", (wide,)),
    )
    x = graph.linear(x, weight, bias, precision)
    x = graph.silu(x) if kind == "Silu" else graph.op(kind, x)
    weight, bias = (
        tensors.take("feed_forward.w_2.weight", (narrow, wide)),
        tensors.take("feed_forward.w_2.bias", (narrow,)),
    )
    return graph.linear(x, weight, bias, precision)


def waves(graph: Graph, first: str, rows: str, width: int) -> str:
    """The table [rows, width] whose rows stand for the distances `first`, `first` - 1, … (int64 scalars): the sine of
    each wave beside its cosine."""
    frequencies = np.exp(np.arange(0, width, 2) * (-np.log(_LONGEST) / width)).astype(np.float32)
    distances = graph.op("Sub", first, range_to(graph, rows))
    distances = graph.reshape(graph.op("Cast", distances, to=TensorProto.FLOAT), -1, 1)
    angles = graph.mul(distances, graph.constant(frequencies))
    pairs = [graph.op("Unsqueeze", graph.op(one, angles), graph.constant([2])) for one in ("Sin", "Cos")]
    return graph.reshape(graph.concat(*pairs, axis=2), 0, -1)


def places(graph: Graph, queries: str, keys: str, first: str, causal: bool) -> str:
    """Where a table whose first row stands for the distance `first` has that of each query and key: [queries, keys].

    The queries are the last ones of the keys. A causal table ends at the distance 0: what comes after a query gets that
    row, and is for others to mask. All three are int64 scalars.
    """
    at = graph.add(graph.op("Sub", keys, queries), range_to(graph, queries))
    distances = graph.op("Sub", graph.reshape(at, -1, 1), graph.reshape(range_to(graph, keys), 1, -1))
    where = graph.op("Sub", first, distances)
    return graph.op("Min", where, first) if causal else where


def scores_of_distance(graph: Graph, queries: str, table: str, where: str) -> str:
    """[1, heads, queries, head width] and a table [heads, entries, head width] -> [1, heads, queries, keys], for
    `where` as `places` gives it."""
    whole = graph.op("MatMul", queries, graph.transpose(table, 0, 2, 1))
    shape = graph.concat(graph.op("Shape", whole, start=0, end=2), graph.op("Shape", where), axis=0)
    return graph.op("GatherElements", whole, graph.op("Expand", where, shape), axis=3)
