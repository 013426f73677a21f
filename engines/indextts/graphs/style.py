"""The graph of CAM++ (Wang et al., arXiv:2303.00332): a recording's filter bank to the style vector of its speaker.

Two-dimensional convolutions in front, then densely connected time-delay layers, each masked by what is going on around
(the mean of the whole and of its stretch of 100 frames), then mean and deviation over time. All widths and depths come
from the tensors; strides and dilations are the published design. Normalisations that follow a convolution are folded
into it. Knows nothing about audio.

    frames [1,T,mels] float32 -> style [1,width] float32
"""

from __future__ import annotations

import numpy as np

from engines.indextts.sizes import Sizes
from models.checkpoint import Tensors
from models.graph import Array, Graph, Precision
from models.parts import count, numbered, range_to

#: how many times the front halves the number of frequency bands: in its two groups of blocks and its last convolution
_HALVINGS = 3
#: of the dense layers, block by block
_DILATIONS = {1: 1, 2: 2, 3: 2}
#: frames that share one mask
STRETCH = 100
_EPSILON = 1e-5


def build(tensors: Tensors, sizes: Sizes, precision: Precision = "fp32") -> Graph:
    """Raises CheckpointError for tensors that are missing or of other shapes. Convolutions stay float32."""
    graph = Graph("style")
    channels = tensors.shape("head.conv1.weight")[0]
    mels = tensors.shape("xvector.tdnn.linear.weight")[1] // channels << _HALVINGS
    frames = graph.input("frames", "float32", [1, "frames", mels])
    x = _front(graph, tensors.scope("head."), graph.transpose(frames, 0, 2, 1))
    network = tensors.scope("xvector.")
    weight, bias = _folded(network.take("tdnn.linear.weight"), network.scope("tdnn.nonlinear.batchnorm."))
    x = graph.op("Relu", graph.conv(x, weight, bias, strides=[2], pads=[weight.shape[2] // 2] * 2))
    stretches = Stretches(graph, x)
    for number, dilation in _DILATIONS.items():
        block = network.scope(f"block{number}.")
        for layer in numbered(block, "tdnnd{}.linear1.weight", 1):
            grown = _dense_layer(graph, block.scope(f"tdnnd{layer}."), stretches, x, dilation)
            x = graph.concat(x, grown, axis=1)
        transit = network.scope(f"transit{number}.")
        x = graph.conv(_normed(graph, transit.scope("nonlinear.batchnorm."), x), transit.take("linear.weight"))
    x = _statistics(graph, _normed(graph, network.scope("out_nonlinear.batchnorm."), x))
    weight, bias = _folded(network.take("dense.linear.weight"), network.scope("dense.nonlinear.batchnorm."))
    style = graph.linear(x, weight[..., 0], bias)
    graph.output("style", style, "float32", [1, sizes.estimator.style_width])
    tensors.ignore(lambda name: name.endswith(".num_batches_tracked"))
    return graph


def _front(graph: Graph, tensors: Tensors, x: str) -> str:
    """[1, mels, T] -> [1, channels * mels/8, T]: residual blocks that halve the bands but not the time."""
    x = graph.op("Unsqueeze", x, graph.constant([1]))
    x = graph.op("Relu", _square(graph, tensors, "conv1", "bn1", x))
    for group in ("layer1.", "layer2."):
        for number in numbered(tensors, group + "{}.conv1.weight"):
            block = tensors.scope(f"{group}{number}.")
            halve = 2 if number == 0 else 1
            inner = graph.op("Relu", _square(graph, block, "conv1", "bn1", x, halve))
            around = _square(graph, block, "shortcut.0", "shortcut.1", x, halve) if "shortcut.0.weight" in block else x
            x = graph.op("Relu", graph.add(_square(graph, block, "conv2", "bn2", inner), around))
    x = graph.op("Relu", _square(graph, tensors, "conv2", "bn2", x, 2))
    bands = graph.op("Shape", x, start=3, end=4)
    return graph.op("Reshape", x, graph.concat(graph.constant([1, -1]), bands, axis=0))


def _square(graph: Graph, tensors: Tensors, conv: str, norm: str, x: str, stride: int = 1) -> str:
    """A convolution over bands and time with its normalisation, for [1, channels, bands, T]."""
    weight, bias = _folded(tensors.take(f"{conv}.weight"), tensors.scope(f"{norm}."))
    return graph.conv(x, weight, bias, strides=[stride, 1], pads=[weight.shape[2] // 2] * 4)


def _dense_layer(graph: Graph, tensors: Tensors, stretches: Stretches, x: str, dilation: int) -> str:
    """What one layer adds to the channels: a time-delay convolution, masked by its surroundings."""
    weight, bias = _folded(tensors.take("linear1.weight"), tensors.scope("nonlinear2.batchnorm."))
    x = graph.op("Relu", graph.conv(_normed(graph, tensors.scope("nonlinear1.batchnorm."), x), weight, bias))
    cam = tensors.scope("cam_layer.")
    weight = cam.take("linear_local.weight")
    pads = [weight.shape[2] // 2 * dilation] * 2
    local = graph.conv(x, weight, dilations=[dilation], pads=pads)
    context = graph.conv(stretches.context(x), cam.take("linear1.weight"), cam.take("linear1.bias"))
    mask = graph.conv(graph.op("Relu", context), cam.take("linear2.weight"), cam.take("linear2.bias"))
    return graph.mul(local, stretches.spread(graph.op("Sigmoid", mask)))


class Stretches:
    """The stretches of time that share a mask."""

    def __init__(self, graph: Graph, x: str) -> None:
        self._graph = graph
        length = count(graph, x, 2)
        self._of_frame = graph.op("Div", range_to(graph, length), graph.constant(np.int64(STRETCH)))
        last = graph.op("ReduceMax", self._of_frame, keepdims=0)
        numbers = range_to(graph, graph.add(last, graph.constant(np.int64(1))))
        own = graph.op("Equal", graph.op("Unsqueeze", self._of_frame, graph.constant([1])), numbers)
        member = graph.op("Cast", own, to=1)  # [T, stretches]: 1.0 where the frame belongs to the stretch
        share = graph.op("Div", member, graph.op("ReduceSum", member, graph.constant([0])))
        whole = graph.op("Reciprocal", graph.op("Cast", length, to=1))
        self._weights = graph.add(share, whole)

    def context(self, x: str) -> str:
        """[1, C, T] -> [1, C, stretches]: the mean of each stretch plus the mean of all."""
        return self._graph.op("MatMul", x, self._weights)

    def spread(self, x: str) -> str:
        """[1, C, stretches] -> [1, C, T]: each frame has what its stretch has."""
        return self._graph.op("Gather", x, self._of_frame, axis=2)


def _statistics(graph: Graph, x: str) -> str:
    """[1, C, T] -> [1, 2C]: mean, and deviation of a sample (T-1)."""
    mean = graph.op("ReduceMean", x, graph.constant([2]), keepdims=1)
    away = graph.op("ReduceSumSquare", graph.op("Sub", x, mean), graph.constant([2]), keepdims=1)
    one = graph.constant(np.float32(1))
    freedom = graph.op("Sub", graph.op("Cast", count(graph, x, 2), to=1), one)
    deviation = graph.op("Sqrt", graph.op("Div", away, freedom))
    return graph.op("Squeeze", graph.concat(mean, deviation, axis=1), graph.constant([2]))


def _normed(graph: Graph, tensors: Tensors, x: str) -> str:
    """A normalisation that nothing precedes which could take it in, and its rectifier."""
    scale, shift = _scale_and_shift(tensors)
    x = graph.mul(x, graph.constant(scale[:, None]))
    return graph.op("Relu", graph.add(x, graph.constant(shift[:, None])))


def _folded(weight: Array, norm: Tensors) -> tuple[Array, Array]:
    """A convolution's weight without bias, and the normalisation behind it, as one weight and bias."""
    scale, shift = _scale_and_shift(norm)
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), shift


def _scale_and_shift(tensors: Tensors) -> tuple[Array, Array]:
    """Batch normalisation at inference (arXiv:1502.03167): a factor and an addend for each channel."""
    mean = tensors.take("running_mean")
    scale = 1 / np.sqrt(tensors.take("running_var", mean.shape) + np.float32(_EPSILON))
    if "weight" in tensors:
        scale = scale * tensors.take("weight", mean.shape)
        return scale, tensors.take("bias", mean.shape) - mean * scale
    return scale, -mean * scale
