"""The pitch as a graph: mel frames in, the fundamental of each in Hz out. Knows nothing about what is made of it."""

from __future__ import annotations

from engines.cosyvoice.sizes import VocoderSizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.parts import numbered


def build(tensors: Tensors, sizes: VocoderSizes, precision: Precision) -> Graph:
    """`tensors` is the scope of the vocoder. Input `mel` [1, mels, frames] float32; output `f0` [1, frames].

    Every precision keeps it in float32: an error of the pitch adds up in the phase of its overtones.
    """
    del precision
    graph, width = Graph("f0"), sizes.pitch_width
    scope = tensors.scope("f0_predictor.")
    x, inputs = graph.input("mel", "float32", [1, sizes.mels, "frames"]), sizes.mels
    for layer in numbered(scope, "condnet.{}.bias", step=2):
        name = f"condnet.{layer}"
        kernel = scope.weight_shape(name)[-1]
        weight = scope.take_weight_norm(name, (width, inputs, kernel))
        x = graph.conv(x, weight, scope.take(f"{name}.bias", (width,)), pads=[kernel // 2] * 2)
        x, inputs = graph.op("Elu", x), width
    weight, bias = scope.take("classifier.weight", (1, width)), scope.take("classifier.bias", (1,))
    f0 = graph.linear(graph.transpose(x, 0, 2, 1), weight, bias)
    graph.output("f0", graph.op("Abs", graph.reshape(f0, 0, -1)), "float32", [1, "frames"])
    return graph
