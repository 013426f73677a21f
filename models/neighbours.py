"""A convolution over time as one product of 8 bit numbers: each row beside those that its kernel sees.

ONNX Runtime's own 8 bit convolution is many times slower than its product. Knows nothing about what is convolved.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.graph import MICROSOFT, Array, Graph
from models.quantize import round_to_outputs

_END = np.iinfo(np.int64).max


def spread(graph: Graph, rows: str, kernel: int, dilation: int, axis: int, stride: int = 1) -> str:
    """Each sample, or of `stride` ones the first, beside those behind it, one dilation apart, as many as the kernel is
    long.

    rows [..., samples, channels], with time on `axis` and edges to spare -> [..., fewer samples, kernel * channels].
    """
    reach = (kernel - 1) * dilation
    seen = [
        graph.slice(rows, tap * dilation, end if (end := tap * dilation - reach) else _END, axis, stride)
        for tap in range(kernel)
    ]
    return graph.concat(*seen, axis=axis + 1)


def flat(weight: Array) -> Array:
    """A convolution's weight [out, in, kernel] as that of a product with what `spread` gives: [out, kernel * in]."""
    return np.ascontiguousarray(weight.transpose(0, 2, 1)).reshape(len(weight), -1)


def rounded_product(graph: Graph, x: str, weight: Array, bias: Array, arrange: Callable[[str, str], str]) -> str:
    """x by weight [out, in] plus bias, both rounded to 8 bit. `arrange` turns the rounded x and what stands for zero
    in it into rows: after rounding, a quarter of the bytes is moved."""
    rounded, scale, zero = graph.ops("DynamicQuantizeLinear", x, outputs=3)
    kept, scales = (graph.constant(one) for one in round_to_outputs(weight))
    factors = [arrange(rounded, zero), kept, scale, scales, zero, "", graph.constant(bias)]
    return graph.op("MatMulIntegerToFloat", *factors, domain=MICROSOFT)


def rounded_convolution(graph: Graph, x: str, weight: Array, bias: Array, dilation: int = 1) -> str:
    """x [1, channels, 1, samples] by weight [out, in, kernel] plus bias, both rounded to 8 bit: a convolution over time
    that keeps the length, with silence beyond the edges."""
    _, inputs, kernel = weight.shape
    reach = (kernel - 1) * dilation // 2

    def arrange(rounded: str, zero: str) -> str:
        rows = graph.transpose(rounded, 0, 2, 3, 1)
        # not by Pad, which OpenVINO gives another value than this one
        beyond = graph.op("Expand", zero, graph.constant(np.array([1, 1, reach, inputs], np.int64)))
        return spread(graph, graph.concat(beyond, rows, beyond, axis=2), kernel, dilation, axis=2)

    return graph.transpose(rounded_product(graph, x, flat(weight), bias, arrange), 0, 3, 1, 2)
