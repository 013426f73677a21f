"""The length regulator as a graph: what the flow's encoder says, stretched to mel frames already, made smooth.

Knows nothing about tokens, nor about how it was stretched.
"""

from __future__ import annotations

from engines.cosyvoice.sizes import FlowSizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.parts import smooth


def build(tensors: Tensors, sizes: FlowSizes, precision: Precision) -> Graph:
    """`tensors` is the scope of the regulator. Input `stretched` [1, mels, frames] float32; output `mu`, as large.

    It is small and runs once per utterance, so that every precision keeps it in float32.
    """
    del precision
    graph = Graph("length_regulator")
    shape: list[int | str] = [1, sizes.regulator_width, "frames"]
    x = graph.input("stretched", "float32", shape)
    mu = smooth(graph, tensors.scope("model."), x, sizes.regulator_width, sizes.regulator_layers)
    graph.output("mu", mu, "float32", shape)
    return graph
