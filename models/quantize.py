"""Linear maps with small weights: 8 bit per output, or 4 or 8 bit per block, for ONNX Runtime's CPU kernels.

Weights are rounded to the nearest whole number, without data. Activations come and go as float32; what the kernels
round them to on the way is said below. Knows nothing about any model.
Operators: ONNX Runtime's "Contrib Operators", DynamicQuantizeMatMul and MatMulNBits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from models.graph import MICROSOFT, Array, Graph, Precision

#: weights that share a scale: the largest block of which kernels for decoding are quick (4 bit + 1/4 bit of scale)
BLOCK = 128
#: the smallest block that MatMulNBits takes
SMALLEST_BLOCK = 16
#: MatMulNBits' name for "round activations to int8, per row and block"
INT8_ACTIVATIONS = 4

Bits = Literal[4, 8]
_BLOCK_BITS: Mapping[Precision, Bits] = {"int8_blocks": 8, "int4": 4}


def quantized_product(graph: Graph, x: str, weight: Array, precision: Precision, bias: Array | None = None) -> str:
    """x @ weight.T + bias for x [..., in], bias [out] and weight [out, in] float32, which is kept as `precision` says.

    int8: signed, a scale per output, activations rounded to 8 bit with one scale for the whole of x: the quickest for
    many rows where the processor has AMX, and within about 1 % of fp32 per product. int8_blocks: a scale per block of
    inputs, activations rounded per row, so that a row's result does not depend on the others: as near, and quicker
    where there is no AMX. int4: such blocks of 4 bit: the quickest for few rows, within about 10 %.
    """
    if precision == "int8":
        kept, scales = round_to_outputs(weight)
        inputs = [x, graph.constant(kept), graph.constant(scales), "", *_constants(graph, bias)]
        return graph.op("DynamicQuantizeMatMul", *inputs, domain=MICROSOFT)
    if precision in _BLOCK_BITS:
        return _block_product(graph, x, weight, _BLOCK_BITS[precision], bias)
    raise ValueError(f"no quantised product has the precision {precision!r}")


def _block_product(graph: Graph, x: str, weight: Array, bits: Bits, bias: Array | None) -> str:
    outputs, inputs = weight.shape
    block = min(BLOCK, max(SMALLEST_BLOCK, 1 << (inputs - 1).bit_length()))
    kept, scales = round_to_blocks(weight, bits, block)
    return graph.op(
        "MatMulNBits",
        *(x, graph.constant(kept), graph.constant(scales), "", "", *_constants(graph, bias)),
        domain=MICROSOFT,
        K=inputs,
        N=outputs,
        bits=bits,
        block_size=block,
        accuracy_level=INT8_ACTIVATIONS,
    )


def _constants(graph: Graph, bias: Array | None) -> list[str]:
    return [] if bias is None else [graph.constant(bias)]


def round_to_outputs(weight: Array) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """weight [out, in] as whole numbers [in, out] of -127..127, and the scale [out] that each output is multiplied by.

    Signed, because the quickest instructions (VNNI, AMX) multiply unsigned activations by signed weights.
    """
    largest = np.abs(weight).max(axis=1)
    scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    return np.ascontiguousarray(np.rint(weight / scales[:, None]).astype(np.int8).T), scales


def round_to_blocks(weight: Array, bits: Bits, block: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """weight [out, in] as MatMulNBits keeps it: [out, blocks, bytes], low half byte first, and scales [out, blocks].

    The value that is furthest from zero becomes the lowest whole number, so that all 2**bits of them are used.
    """
    outputs, inputs = weight.shape
    lowest = -(1 << (bits - 1))
    padded = np.pad(weight, ((0, 0), (0, -inputs % block))).reshape(outputs, -1, block)
    furthest = np.take_along_axis(padded, np.abs(padded).argmax(axis=2, keepdims=True), axis=2)
    scales = np.where(furthest != 0, furthest / lowest, 1).astype(np.float32)
    whole = (np.clip(np.rint(padded / scales), lowest, -lowest - 1) - lowest).astype(np.uint8)
    packed = whole if bits == 8 else np.bitwise_or(whole[..., ::2], whole[..., 1::2] << 4, dtype=np.uint8)
    return np.ascontiguousarray(packed), scales[..., 0]
