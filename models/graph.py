"""Builds ONNX graphs node by node, out of numpy arrays: no framework, no tracing.

A model's module says in its own words what it computes, and this writes it down: names for values, weights beside the
graph in a file that ONNX Runtime maps into memory. Knows nothing about any model.
Operators: https://onnx.ai/onnx/operators/ and ONNX Runtime's "Contrib Operators" (domain com.microsoft).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

#: the contrib operators' domain
MICROSOFT = "com.microsoft"
OPSET = 21
#: the newest file format that the oldest supported ONNX Runtime reads
IR_VERSION = 10
#: weights from here on lie in the data file; smaller ones are part of the graph, where shape inference sees them
EXTERNAL_BYTES = 1024
#: begin of each weight in the data file, so that it can be mapped and read without copies
ALIGNMENT_BYTES = 4096

#: how the weights of a linear map are kept: as they are, or as whole numbers of 8 or 4 bit with a scale per output, or
#: per block of inputs; see `models.quantize`
Precision = Literal["fp32", "int8", "int8_blocks", "int4"]
Array = npt.NDArray[Any]

_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}


class Graph:
    """A graph in the making. Values are known by their names, which are plain strings.

    graph = Graph("double")
    x = graph.input("x", "float32", ["batch", 80])
    graph.output("y", graph.op("Mul", x, graph.constant(np.float32(2))), "float32", ["batch", 80])
    graph.save(folder / "double.onnx")
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._weights: dict[str, Array] = {}
        self._made: dict[tuple[bytes, str, tuple[int, ...]], str] = {}  # small constants, each once
        self._counter = 0

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> str:
        """Declare an input; a string in `shape` names a size that may differ from run to run."""
        self._inputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], list(shape)))
        return name

    def output(self, name: str, value: str, dtype: str, shape: Sequence[int | str]) -> None:
        """Give `value` to the outside under `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, _TYPES[dtype], list(shape)))

    def constant(self, values: npt.ArrayLike, dtype: str = "") -> str:
        """A weight or constant; equal small ones are kept once. Python floats become float32, ints int64."""
        array = np.asarray(values, dtype or None)
        if not dtype and array.dtype == np.float64:
            array = array.astype(np.float32)
        array = np.asarray(array, order="C")
        if array.nbytes > EXTERNAL_BYTES:
            return self._keep(array)
        key = (array.tobytes(), array.dtype.name, array.shape)
        if key not in self._made:
            self._made[key] = self._keep(array)
        return self._made[key]

    def op(self, kind: str, *inputs: str, domain: str = "", name: str = "", **attributes: Any) -> str:
        """One node with one output, which is returned. An input that is left out is the empty string."""
        return self.ops(kind, *inputs, outputs=1, domain=domain, name=name, **attributes)[0]

    def ops(
        self, kind: str, *inputs: str, outputs: int, domain: str = "", name: str = "", **attributes: Any
    ) -> tuple[str, ...]:
        """One node with several outputs."""
        made = tuple(self.fresh(kind) for _ in range(outputs))
        self._nodes.append(helper.make_node(kind, list(inputs), list(made), name=name, domain=domain, **attributes))
        return made

    def fresh(self, hint: str) -> str:
        """A name that no value has yet."""
        self._counter += 1
        return f"{hint}_{self._counter}"

    def add(self, x: str, y: str) -> str:
        return self.op("Add", x, y)

    def mul(self, x: str, y: str) -> str:
        return self.op("Mul", x, y)

    def reshape(self, x: str, *shape: int) -> str:
        """0 keeps an axis, -1 takes what is left."""
        return self.op("Reshape", x, self.constant(np.array(shape, np.int64)))

    def transpose(self, x: str, *axes: int) -> str:
        return self.op("Transpose", x, perm=list(axes))

    def slice(self, x: str, start: int, stop: int, axis: int, step: int = 1) -> str:
        whole = [self.constant(np.array([one], np.int64)) for one in (start, stop, axis, step)]
        return self.op("Slice", x, *whole)

    def concat(self, *parts: str, axis: int) -> str:
        return self.op("Concat", *parts, axis=axis)

    def split(self, x: str, sizes: Sequence[int], axis: int) -> tuple[str, ...]:
        return self.ops("Split", x, self.constant(np.array(sizes, np.int64)), outputs=len(sizes), axis=axis)

    def linear(self, x: str, weight: Array, bias: Array | None = None, precision: Precision = "fp32") -> str:
        """x @ weight.T + bias, for x [..., in], weight [out, in] float32 and bias [out].

        fp32 keeps the weight as it is. Other precisions keep it as `models.quantize` says; activations stay float32
        outside of the product.
        """
        if precision != "fp32":
            from models.quantize import quantized_product

            return quantized_product(self, x, weight, precision, bias)
        product = self.op("MatMul", x, self.constant(np.ascontiguousarray(weight.T)))
        return product if bias is None else self.add(product, self.constant(bias))

    def layer_norm(self, x: str, weight: Array, bias: Array, epsilon: float = 1e-5) -> str:
        """Over the last axis (Ba et al., arXiv:1607.06450)."""
        return self.op("LayerNormalization", x, self.constant(weight), self.constant(bias), axis=-1, epsilon=epsilon)

    def conv(self, x: str, weight: Array, bias: Array | None = None, **attributes: Any) -> str:
        """A convolution, for weight [out, in/groups, *kernel]; attributes as ONNX's Conv has them."""
        more = [] if bias is None else [self.constant(bias)]
        return self.op("Conv", x, self.constant(weight), *more, kernel_shape=list(weight.shape[2:]), **attributes)

    def silu(self, x: str) -> str:
        """x * sigmoid(x), also called swish."""
        return self.mul(x, self.op("Sigmoid", x))

    def save(self, path: Path) -> None:
        """Write `path` and, beside it, `path`.data with the weights. Checks nothing: ONNX Runtime does at loading."""
        data = path.with_name(path.name + ".data")
        initializers = []
        with data.open("wb") as file:
            for name, array in self._weights.items():
                if array.nbytes > EXTERNAL_BYTES:
                    file.write(bytes(-file.tell() % ALIGNMENT_BYTES))
                    initializers.append(_external(name, array, data.name, file.tell()))
                    array.tofile(file)
                else:
                    initializers.append(onnx.numpy_helper.from_array(array, name))
            empty = file.tell() == 0
        if empty:
            data.unlink()
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, initializers)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="voxgate")
        path.write_bytes(model.SerializeToString())

    def _keep(self, array: Array) -> str:
        name = self.fresh("w")
        self._weights[name] = array
        return name


def _external(name: str, array: Array, file: str, offset_bytes: int) -> onnx.TensorProto:
    tensor = TensorProto(name=name, dims=array.shape, data_type=_TYPES[array.dtype.name])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", file), ("offset", offset_bytes), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor
