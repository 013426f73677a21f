"""A speaker's embedding as a network knows it. Knows nothing about where embeddings come from."""

from __future__ import annotations

from models.checkpoint import Tensors
from models.graph import Graph

#: the shortest length that a speaker is divided by
_SHORTEST = 1e-12


def place(graph: Graph, tensors: Tensors, speaker: str, inputs: int, outputs: int) -> str:
    """[1, inputs] of any length -> [1, outputs]. Takes `spk_embed_affine_layer`."""
    length = graph.op("Max", graph.op("ReduceL2", speaker, graph.constant([1])), graph.constant(_SHORTEST))
    weight = tensors.take("spk_embed_affine_layer.weight", (outputs, inputs))
    bias = tensors.take("spk_embed_affine_layer.bias", (outputs,))
    return graph.linear(graph.op("Div", speaker, length), weight, bias)
