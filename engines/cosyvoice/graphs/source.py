"""The vocoder's source as a graph: a fundamental and its overtones, mixed to one wave. Knows nothing about pitch."""

from __future__ import annotations

from engines.cosyvoice.sizes import VocoderSizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision


def build(tensors: Tensors, sizes: VocoderSizes, precision: Precision) -> Graph:
    """`tensors` is the scope of the vocoder. Input: `tones` [1, tones, samples]; output: `source` [1, samples]"""
    del precision
    graph, tones = Graph("source"), sizes.overtones + 1
    x = graph.input("tones", "float32", [1, tones, "samples"])
    scope = tensors.scope("m_source.l_linear.")
    weight, bias = scope.take("weight", (1, tones)), scope.take("bias", (1,))
    mixed = graph.conv(x, weight[:, :, None], bias)
    graph.output("source", graph.op("Tanh", graph.reshape(mixed, 0, -1)), "float32", [1, "samples"])
    return graph
