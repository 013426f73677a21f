"""Pieces that several networks are made of, as nodes of a graph. Knows no network."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from models.checkpoint import Tensors
from models.graph import Array, Graph


def numbered(tensors: Tensors, pattern: str, first: int = 0, step: int = 1) -> Iterator[int]:
    """The numbers from `first` on for which there is a tensor of that name, its number put for `{}`: layers, blocks."""
    return itertools.takewhile(lambda number: pattern.format(number) in tensors, itertools.count(first, step))


def split_heads(graph: Graph, x: str, heads: int, width: int) -> str:
    """[B, T, heads*width] -> [B, heads, T, width]."""
    return graph.transpose(graph.reshape(x, 0, 0, heads, width), 0, 2, 1, 3)


def join_heads(graph: Graph, x: str, heads: int, width: int) -> str:
    """[B, heads, T, width] -> [B, T, heads*width]."""
    return graph.reshape(graph.transpose(x, 0, 2, 1, 3), 0, 0, heads * width)


def gate(graph: Graph, x: str, width: int) -> str:
    """[…, 2*width] -> […, width]: one half lets the other through (Dauphin et al., arXiv:1612.08083)."""
    value, through = graph.split(x, (width, width), axis=-1)
    return graph.mul(value, graph.op("Sigmoid", through))


def depthwise(graph: Graph, x: str, weight: Array, bias: Array | None, pads: tuple[int, int]) -> str:
    """A convolution along time, each channel by itself: [B, T, C] -> [B, T, C], for weight [C, 1, kernel]."""
    across = graph.conv(graph.transpose(x, 0, 2, 1), weight, bias, group=weight.shape[0], pads=list(pads))
    return graph.transpose(across, 0, 2, 1)


def mish(graph: Graph, x: str) -> str:
    """x * tanh(softplus(x)) (Misra, arXiv:1908.08681), which is x * (2 / (1 + q^2) - 1) for q = sigmoid(-x): ONNX
    Runtime's own takes three times as long."""
    q = graph.op("Sigmoid", graph.op("Neg", x))
    one, two = graph.constant(np.float32(1)), graph.constant(np.float32(2))
    share = graph.op("Sub", graph.op("Div", two, graph.add(graph.mul(q, q), one)), one)
    return graph.mul(x, share)


def smooth(graph: Graph, tensors: Tensors, x: str, width: int, layers: int) -> str:
    """What a length regulator does behind its stretching: convolutions of kernel 3, each with GroupNorm over all
    channels and Mish, and one of kernel 1; [1, width, frames] before and after. `tensors` has them by number."""
    for layer in range(layers):
        kernel, norm = tensors.scope(f"{3 * layer}."), tensors.scope(f"{3 * layer + 1}.")
        x = graph.conv(x, kernel.take("weight", (width, width, 3)), kernel.take("bias", (width,)), pads=[1, 1])
        scale, shift = (graph.constant(norm.take(name, (width,))) for name in ("weight", "bias"))
        x = graph.op("GroupNormalization", x, scale, shift, num_groups=1, epsilon=1e-5)
        x = mish(graph, x)
    last = tensors.scope(f"{3 * layers}.")
    return graph.conv(x, last.take("weight", (width, width, 1)), last.take("bias", (width,)))


def upsample(graph: Graph, tensors: Tensors, name: str, x: str, width: int, rate: int, kernel: int) -> str:
    """[1, width, 1, samples] -> [1, width / 2, 1, rate * samples], by a transposed convolution with weight norm."""
    weight = tensors.take_weight_norm(name, (width, width // 2, kernel))
    bias = graph.constant(tensors.take(f"{name}.bias", (width // 2,)))
    pad = (kernel - rate) // 2
    return graph.op(
        "ConvTranspose",
        x,
        graph.constant(weight[:, :, None]),
        bias,
        kernel_shape=[1, kernel],
        strides=[1, rate],
        pads=[0, pad, 0, kernel - rate - pad],
    )


def count(graph: Graph, x: str, axis: int) -> str:
    """The length of an axis, as an int64 scalar."""
    length = graph.op("Shape", x, start=axis, end=axis + 1)
    return graph.op("Squeeze", length)


def range_to(graph: Graph, stop: str) -> str:
    """0, 1, … below the int64 scalar `stop`."""
    return graph.op("Range", graph.constant(np.int64(0)), stop, graph.constant(np.int64(1)))
