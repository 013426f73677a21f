"""The length regulator as a graph: semantic features at their own rate in, the estimator's condition per mel frame out.

A linear map, nearest neighbours over time to the number of frames that is asked for, then convolutions of kernel 3 with
GroupNorm over all channels and Mish. Knows nothing about codes, voices or how frames are counted.
"""

from __future__ import annotations

import numpy as np

from engines.indextts.sizes import Sizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.parts import smooth

#: tensors that training needed: a table for discrete input, a row for masked input
_TRAINING = {"embedding.weight", "mask_token"}


def build(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    """inputs `features` [1, codes, in] and `frames` [1] int64; output `condition` [1, frames, width].

    It is small and runs once per utterance, so that every precision keeps it in float32.
    """
    del precision
    width, layers = sizes.regulator.width, sizes.regulator.layers
    graph = Graph("length_regulator")
    features = graph.input("features", "float32", [1, "codes", sizes.regulator.input_width])
    frames = graph.input("frames", "int64", [1])

    weight = tensors.take("content_in_proj.weight", (width, sizes.regulator.input_width))
    x = graph.linear(features, weight, tensors.take("content_in_proj.bias", (width,)))
    x = graph.transpose(graph.op("Gather", x, _nearest(graph, x, frames), axis=1), 0, 2, 1)
    x = smooth(graph, tensors.scope("model."), x, width, layers)
    tensors.ignore(_TRAINING.__contains__)
    graph.output("condition", graph.transpose(x, 0, 2, 1), "float32", [1, "frames", width])
    return graph


def _nearest(graph: Graph, x: str, frames: str) -> str:
    """For each frame the row that it takes: floor(frame * rows / frames), in float32 as the model was trained."""
    rows = graph.op("Shape", x, start=1, end=2)
    scale = graph.op("Div", graph.op("Cast", rows, to=1), graph.op("Cast", frames, to=1))
    first, one = graph.constant(np.int64(0)), graph.constant(np.int64(1))
    index = graph.op("Range", first, graph.op("Squeeze", frames), one)
    taken = graph.op("Cast", graph.op("Floor", graph.mul(graph.op("Cast", index, to=1), scale)), to=7)
    return graph.op("Min", taken, graph.op("Sub", rows, one))
