"""The vocoder as a graph: BigVGAN (Lee et al., arXiv:2206.04658), from mel frames to a wave.

Upsampling convolutions, behind each a few parallel residual blocks whose periodic activation (snakebeta) runs at twice
the rate between two low-pass filters, so that it adds no aliases. Knows nothing about streaming or sample rates.
"""

from __future__ import annotations

import numpy as np

from engines.indextts.sizes import Sizes, VocoderSizes
from models.checkpoint import Tensors
from models.graph import Array, Graph, Precision

#: keeps the division of the activation finite, as in training
_TINY = 1e-9


def build(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    """Input `mel` [1, mels, frames] float32, the logarithms of amplitudes; output `wave` [1, samples] in -1..1."""
    del precision
    return _Builder(tensors, sizes.vocoder, sizes.mel.mels).build()


class _Builder:
    def __init__(self, tensors: Tensors, sizes: VocoderSizes, mels: int) -> None:
        self._tensors = tensors
        self._sizes = sizes
        self._mels = mels
        self._graph = Graph("vocoder")

    def build(self) -> Graph:
        graph, sizes = self._graph, self._sizes
        x = self._conv("conv_pre", graph.input("mel", "float32", [1, self._mels, "frames"]), self._mels, sizes.width)
        width = sizes.width
        for stage, (rate, kernel) in enumerate(zip(sizes.rates, sizes.kernels, strict=True)):
            x = self._upsampled(f"ups.{stage}.0", x, width, rate, kernel)
            width //= 2
            first = stage * len(sizes.block_kernels)
            blocks = [self._block(first + one, x, width) for one in range(len(sizes.block_kernels))]
            x = graph.mul(graph.op("Sum", *blocks), graph.constant(np.float32(1 / len(blocks))))
        x = self._activation("activation_post", x, width)
        x = self._conv("conv_post", x, width, 1, bias=sizes.bias)
        if sizes.tanh:
            x = graph.op("Tanh", x)
        else:
            x = graph.op("Clip", x, graph.constant(np.float32(-1)), graph.constant(np.float32(1)))
        graph.output("wave", graph.reshape(x, 1, -1), "float32", [1, "samples"])
        return graph

    def _conv(self, name: str, x: str, inputs: int, outputs: int, dilation: int = 1, bias: bool = True) -> str:
        """A convolution that keeps the length. Its kernel's length is the tensor's."""
        direction = f"{name}.weight_v" if f"{name}.weight_v" in self._tensors else f"{name}.weight"
        kernel = self._tensors.shape(direction)[-1]
        weight = self._tensors.take_weight_norm(name, (outputs, inputs, kernel))
        reach = (kernel - 1) * dilation // 2
        given = self._tensors.take(f"{name}.bias", (outputs,)) if bias else None
        return self._graph.conv(x, weight, given, pads=[reach, reach], dilations=[dilation])

    def _upsampled(self, name: str, x: str, width: int, rate: int, kernel: int) -> str:
        graph = self._graph
        weight = graph.constant(self._tensors.take_weight_norm(name, (width, width // 2, kernel)))
        bias = graph.constant(self._tensors.take(f"{name}.bias", (width // 2,)))
        pad = (kernel - rate) // 2
        return graph.op(
            "ConvTranspose", x, weight, bias, kernel_shape=[kernel], strides=[rate], pads=[pad, kernel - rate - pad]
        )

    def _block(self, number: int, x: str, width: int) -> str:
        """Residual pairs of activation and convolution, the first one of each pair dilated."""
        for step, dilation in enumerate(self._sizes.block_dilations[number % len(self._sizes.block_dilations)]):
            name = f"resblocks.{number}"
            y = self._activation(f"{name}.activations.{2 * step}", x, width)
            y = self._conv(f"{name}.convs1.{step}", y, width, width, dilation)
            y = self._activation(f"{name}.activations.{2 * step + 1}", y, width)
            y = self._conv(f"{name}.convs2.{step}", y, width, width)
            x = self._graph.add(x, y)
        return x

    def _activation(self, name: str, x: str, width: int) -> str:
        """x + sin(alpha x)^2 / beta at twice the rate.

        Doubling the rate and halving it again by filters of zeros and every other sample wastes half of the products:
        both are done in phases instead, even and odd samples side by side as channels.
        """
        graph, tensors = self._graph, self._tensors.scope(f"{name}.")
        alpha, beta = (self._parameter(tensors.take(f"act.{one}", (width,))) for one in ("alpha", "beta"))
        x = graph.reshape(x, width, 1, -1)  # channels become rows: all of them go through the same filters
        phases = up_phases(tensors.take("upsample.filter").ravel())
        fine = graph.conv(_held(graph, x, *_margins(phases)), phases)
        sine = graph.op("Sin", graph.mul(fine, graph.constant(alpha.reshape(width, 1, 1))))
        bent = graph.mul(graph.mul(sine, sine), graph.constant((1 / (beta + _TINY)).reshape(width, 1, 1)))
        fine = graph.add(fine, bent)
        phases = down_phases(tensors.take("downsample.lowpass.filter").ravel())
        before, after = _margins(phases)
        even, odd = graph.split(fine, [1, 1], axis=1)
        first, last = graph.slice(even, 0, 1, axis=2), graph.slice(odd, -1, _END, axis=2)
        left, right = (
            graph.op("Expand", edge, graph.constant(np.array([width, 2, count], np.int64)))
            for edge, count in ((first, before), (last, after))
        )
        return graph.reshape(graph.conv(graph.concat(left, fine, right, axis=2), phases), 1, width, -1)

    def _parameter(self, kept: Array) -> Array:
        return np.exp(kept) if self._sizes.log_scale else kept


def up_phases(taps: Array) -> Array:
    """A filter [taps] that doubles the rate, as a convolution [2, 1, n] whose outputs are even and odd samples.

    y[m] = 2 sum_j taps[m + pad - 2j] x[j]: with x[i] and j = i + margin, an even sample sees one half of the taps.
    """
    count = len(taps)
    reach = count // 4  # low-rate samples to each side
    phases = np.zeros((2, 1, 2 * reach + 1), np.float32)
    for phase in range(2):
        for tap in range(count):
            # sample i of the low rate reaches fine sample m by the tap m - 2i + (count - 1) // 2
            doubled = phase + (count - 1) // 2 - tap
            if doubled % 2 == 0:
                phases[phase, 0, doubled // 2 + reach] = 2 * taps[tap]
    return phases


def down_phases(taps: Array) -> Array:
    """A filter [taps] that halves the rate, as a convolution [1, 2, n] over even and odd samples."""
    count = len(taps)
    reach = count // 4
    phases = np.zeros((1, 2, 2 * reach + 1), np.float32)
    for tap in range(count):
        offset = tap - (count // 2 - 1)  # fine samples from 2n
        phases[0, offset % 2, offset // 2 + reach] = taps[tap]
    return phases


def _margins(phases: Array) -> tuple[int, int]:
    reach = phases.shape[2] // 2
    return reach, reach


def _held(graph: Graph, x: str, before: int, after: int) -> str:
    """x with its first and last value held over its edges."""
    return graph.op("Pad", x, graph.constant(np.array([0, 0, before, 0, 0, after], np.int64)), mode="edge")


_END = np.iinfo(np.int64).max
