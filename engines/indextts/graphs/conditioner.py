"""The graphs of both conditioners: a recording's semantic features to what the GPT is told of speaker and emotion.

A convolution halves the rate, a conformer (arXiv:2005.08100, with WeNet's simplified relative positions) reads it, and
a perceiver (arXiv:2103.03206) sums it up in a fixed number of rows. The emotion's one passes two more linear maps.
Knows nothing about audio.

    features [1,T,width] float32 -> cond [1,rows,gpt] (speaker) or emotion [1,gpt] (emotion), float32
"""

from __future__ import annotations

import numpy as np

from engines.indextts.sizes import ConditionerSizes, Sizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.parts import count, depthwise, gate, join_heads, numbered, range_to, split_heads

#: added to the score of a frame that must not be heard: nothing is left of it after the softmax
_UNHEARD = np.float32(-1e9)


def build_speaker(tensors: Tensors, sizes: Sizes, precision: Precision = "fp32") -> Graph:
    """Who speaks, from gpt.pth. Raises CheckpointError for tensors that are missing or of other shapes."""
    graph = Graph("speaker_conditioner")
    rows = tensors.shape("perceiver_encoder.latents")
    cond = _summed_up(graph, tensors, "", sizes.speaker, sizes.codec.width, precision)
    graph.output("cond", cond, "float32", [1, *rows])
    return graph


def build_emotion(tensors: Tensors, sizes: Sizes, precision: Precision = "fp32") -> Graph:
    """How it is said, from gpt.pth. Raises CheckpointError for tensors that are missing or of other shapes."""
    graph = Graph("emotion_conditioner")
    rows, width = tensors.shape("emo_perceiver_encoder.latents")
    x = _summed_up(graph, tensors, "emo_", sizes.emotion, sizes.codec.width, precision)
    for name, wide in (("emovec_layer.", rows * width), ("emo_layer.", sizes.gpt.width)):
        x = _linear(graph, tensors.scope(name), x, wide, sizes.gpt.width, precision)
    graph.output("emotion", graph.reshape(x, 1, -1), "float32", [1, sizes.gpt.width])
    return graph


def _summed_up(
    graph: Graph, tensors: Tensors, prefix: str, sizes: ConditionerSizes, width: int, precision: Precision
) -> str:
    features = graph.input("features", "float32", [1, "frames", width])
    conformer = _Conformer(graph, tensors.scope(f"{prefix}conditioning_encoder."), sizes, precision)
    x = conformer.read(features, width)
    return sum_up(graph, tensors.scope(f"{prefix}perceiver_encoder."), sizes, precision, x, conformer.heard)


class _Conformer:
    """Reads features; `heard` [T/2] is 1.0 where it listened.

    The published model is told the features' width where their number is meant, so that frames beyond as many are
    masked. A release is 1024 wide, more than the longest recording has frames.
    """

    def __init__(self, graph: Graph, tensors: Tensors, sizes: ConditionerSizes, precision: Precision) -> None:
        self._graph = graph
        self._tensors = tensors
        self._sizes = sizes
        self._precision: Precision = precision
        self._head_width = sizes.width // sizes.heads

    def read(self, features: str, width: int) -> str:
        """[1, T, width] -> [1, (T-1)//2, sizes.width]."""
        graph, tensors = self._graph, self._tensors
        x = self._subsample(tensors.scope("embed."), features, width)
        length = count(graph, x, 1)
        places = range_to(graph, length)
        within = graph.op("Less", places, graph.constant(np.int64((width - 1) // 2)))
        self.heard = graph.op("Cast", within, to=1)
        self._column = graph.op("Unsqueeze", self.heard, graph.constant([1]))
        self._bias = unheard_bias(graph, self.heard)
        table = graph.constant(tensors.take("embed.pos_enc.pe")[0])
        self._positions = graph.op("Gather", table, places, axis=0)
        for layer in range(self._sizes.layers):
            x = self._layer(tensors.scope(f"encoders.{layer}."), x)
        return self._norm(tensors.scope("after_norm."), x)

    def _subsample(self, tensors: Tensors, features: str, width: int) -> str:
        graph, channels = self._graph, self._sizes.width
        x = graph.op("Unsqueeze", features, graph.constant([1]))
        weight = tensors.take("conv.0.weight", (channels, 1, 3, 3))
        x = graph.op("Relu", graph.conv(x, weight, tensors.take("conv.0.bias", (channels,)), strides=[2, 2]))
        bands = (width - 1) // 2
        x = graph.reshape(graph.transpose(x, 0, 2, 1, 3), 0, 0, channels * bands)
        x = self._linear(tensors.scope("out.0."), x, channels * bands, channels)
        return graph.mul(x, graph.constant(np.float32(channels**0.5)))

    def _layer(self, tensors: Tensors, x: str) -> str:
        graph = self._graph
        x = graph.add(x, self._attend(tensors.scope("self_attn."), self._norm(tensors.scope("norm_mha."), x)))
        x = graph.add(x, self._convolve(tensors.scope("conv_module."), self._norm(tensors.scope("norm_conv."), x)))
        x = graph.add(x, self._feed_forward(tensors.scope("feed_forward."), self._norm(tensors.scope("norm_ff."), x)))
        return self._norm(tensors.scope("norm_final."), x)

    def _attend(self, tensors: Tensors, x: str) -> str:
        graph, width, heads, head_width = self._graph, self._sizes.width, self._sizes.heads, self._head_width
        query = graph.reshape(self._linear(tensors.scope("linear_q."), x, width, width), 0, 0, heads, head_width)
        of_key, of_place = (
            graph.transpose(graph.add(query, graph.constant(tensors.take(name, (heads, head_width)))), 0, 2, 1, 3)
            for name in ("pos_bias_u", "pos_bias_v")
        )
        key, value = (
            split_heads(graph, self._linear(tensors.scope(name), x, width, width), heads, head_width)
            for name in ("linear_k.", "linear_v.")
        )
        places = graph.linear(self._positions, tensors.take("linear_pos.weight", (width, width)), None, self._precision)
        places = graph.transpose(graph.reshape(places, 0, heads, head_width), 1, 2, 0)
        scores = graph.op("MatMul", of_key, graph.transpose(key, 0, 1, 3, 2))
        scores = graph.add(scores, graph.op("MatMul", of_place, places))
        scores = graph.add(graph.mul(scores, graph.constant(np.float32(head_width**-0.5))), self._bias)
        mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
        return self._linear(tensors.scope("linear_out."), join_heads(graph, mixed, heads, head_width), width, width)

    def _convolve(self, tensors: Tensors, x: str) -> str:
        graph, width = self._graph, self._sizes.width
        weight, bias = (
            tensors.take("pointwise_conv1.weight", (2 * width, width, 1)),
            tensors.take("pointwise_conv1.bias"),
        )
        x = graph.linear(graph.mul(x, self._column), weight[..., 0], bias, self._precision)
        kernel = tensors.shape("depthwise_conv.weight")[-1]
        weight = tensors.take("depthwise_conv.weight", (width, 1, kernel))
        bias = tensors.take("depthwise_conv.bias", (width,))
        x = depthwise(graph, gate(graph, x, width), weight, bias, (kernel // 2, kernel // 2))
        x = graph.silu(self._norm(tensors.scope("norm."), x))
        weight = tensors.take("pointwise_conv2.weight", (width, width, 1))
        x = graph.linear(x, weight[..., 0], tensors.take("pointwise_conv2.bias", (width,)), self._precision)
        return graph.mul(x, self._column)

    def _feed_forward(self, tensors: Tensors, x: str) -> str:
        wide, inner = self._sizes.width, self._sizes.linear_width
        x = self._graph.silu(self._linear(tensors.scope("w_1."), x, wide, inner))
        return self._linear(tensors.scope("w_2."), x, inner, wide)

    def _norm(self, tensors: Tensors, x: str) -> str:
        shape = (self._sizes.width,)
        return self._graph.layer_norm(x, tensors.take("weight", shape), tensors.take("bias", shape))

    def _linear(self, tensors: Tensors, x: str, wide: int, out: int) -> str:
        return _linear(self._graph, tensors, x, wide, out, self._precision)


def unheard_bias(graph: Graph, heard: str) -> str:
    """What is added to attention's scores so that frames where `heard` is 0.0 have no weight."""
    return graph.mul(graph.op("Sub", graph.constant(np.float32(1)), heard), graph.constant(_UNHEARD))


def sum_up(graph: Graph, tensors: Tensors, sizes: ConditionerSizes, precision: Precision, x: str, heard: str) -> str:
    """[1, T, conformer] -> [1, rows, width]: learnt rows that attend to the recording and to themselves."""
    rows, width = tensors.shape("latents")
    # Where both are as wide the published design has no map between them.
    mapped = sizes.width != width or "proj_context.weight" in tensors
    context = _linear(graph, tensors.scope("proj_context."), x, sizes.width, width, precision) if mapped else x
    own = graph.constant(np.ones(rows, np.float32))
    bias = unheard_bias(graph, graph.concat(own, heard, axis=0))
    latents = graph.constant(tensors.take("latents", (rows, width))[None])
    for layer in numbered(tensors, "layers.{}.0.to_q.weight"):
        attention, forward = tensors.scope(f"layers.{layer}.0."), tensors.scope(f"layers.{layer}.1.")
        seen = _attend_to(graph, attention, sizes.heads, precision, latents, context, bias)
        latents = graph.add(latents, seen)
        latents = graph.add(latents, _gated_forward(graph, forward, width, sizes.perceiver_mult, precision, latents))
    length = graph.op("ReduceL2", latents, graph.constant([2]), keepdims=1)
    unit = graph.op("Div", latents, graph.op("Max", length, graph.constant(np.float32(1e-12))))
    return graph.mul(unit, graph.constant(tensors.take("norm.gamma", (width,)) * np.float32(width**0.5)))


def _attend_to(
    graph: Graph, tensors: Tensors, heads: int, precision: Precision, latents: str, context: str, bias: str
) -> str:
    inner, width = tensors.shape("to_q.weight")
    head_width = inner // heads
    both = graph.concat(latents, context, axis=1)
    query = graph.linear(latents, tensors.take("to_q.weight"), None, precision)
    key_value = graph.linear(both, tensors.take("to_kv.weight", (2 * inner, width)), None, precision)
    parts = (query, *graph.split(key_value, (inner, inner), axis=-1))
    query, key, value = (split_heads(graph, one, heads, head_width) for one in parts)
    scores = graph.op("MatMul", query, graph.transpose(key, 0, 1, 3, 2))
    scores = graph.add(graph.mul(scores, graph.constant(np.float32(head_width**-0.5))), bias)
    mixed = join_heads(graph, graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value), heads, head_width)
    return graph.linear(mixed, tensors.take("to_out.weight", (width, inner)), None, precision)


def _gated_forward(graph: Graph, tensors: Tensors, width: int, mult: int, precision: Precision, x: str) -> str:
    """Linear, GELU as a gate (arXiv:2002.05202), linear. Two thirds of the width, as the gate doubles it."""
    inner = int(width * mult * 2 / 3)
    value, through = graph.split(
        _linear(graph, tensors.scope("0."), x, width, 2 * inner, precision), (inner, inner), axis=-1
    )
    return _linear(graph, tensors.scope("2."), graph.mul(value, graph.op("Gelu", through)), inner, width, precision)


def _linear(graph: Graph, tensors: Tensors, x: str, wide: int, out: int, precision: Precision) -> str:
    weight, bias = tensors.take("weight", (out, wide)), tensors.take("bias", (out,))
    return graph.linear(x, weight, bias, precision)
