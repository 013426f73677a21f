"""The vocoder as a graph: BigVGAN (Lee et al., arXiv:2206.04658), from mel frames to a wave.

Upsampling convolutions, behind each a few parallel residual blocks whose periodic activation (snakebeta) runs at twice
the rate between two low-pass filters, so that it adds no aliases. Knows nothing about streaming or sample rates.

Time is an image's width, [1, channels, 1, samples]: ONNX Runtime has its quick kernels for images only.
"""

from __future__ import annotations

import numpy as np

from engines.indextts.sizes import Sizes, VocoderSizes
from models.checkpoint import Tensors
from models.graph import Array, Graph, Precision
from models.neighbours import rounded_convolution
from models.parts import upsample

#: keeps the divisions of the activation finite
_TINY = 1e-9
#: convolutions of fewer channels gain nothing by 8 bit: what is saved goes into rounding and moving
_NARROWEST_INT8 = 32
_END = np.iinfo(np.int64).max


def build(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    """Input `mel` [1, mels, frames] float32, the logarithms of amplitudes; output `wave` [1, samples] in -1..1."""
    return _Builder(tensors, sizes.vocoder, sizes.mel.mels, precision).build()


class _Builder:
    def __init__(self, tensors: Tensors, sizes: VocoderSizes, mels: int, precision: Precision) -> None:
        self._tensors = tensors
        self._sizes = sizes
        self._mels = mels
        self._small = precision != "fp32"
        self._graph = Graph("vocoder")

    def build(self) -> Graph:
        graph, sizes = self._graph, self._sizes
        mel = graph.reshape(graph.input("mel", "float32", [1, self._mels, "frames"]), 1, self._mels, 1, -1)
        x = self._conv("conv_pre", mel, self._mels, sizes.width)
        width = sizes.width
        for stage, (rate, kernel) in enumerate(zip(sizes.rates, sizes.kernels, strict=True)):
            x = upsample(self._graph, self._tensors, f"ups.{stage}.0", x, width, rate, kernel)
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
        """A convolution that keeps the length. Its kernel's length is the tensor's.

        In 8 bit only within the residual blocks, which take nearly all of the time: what they round is added to
        something exact. Rounding between the blocks as well would double the noise for a twentieth of the time.
        """
        kernel = self._tensors.weight_shape(name)[-1]
        weight = self._tensors.take_weight_norm(name, (outputs, inputs, kernel))
        given = self._tensors.take(f"{name}.bias", (outputs,)) if bias else np.zeros(outputs, np.float32)
        reach = (kernel - 1) * dilation // 2
        if self._small and inputs == outputs >= _NARROWEST_INT8:
            return rounded_convolution(self._graph, x, weight, given, dilation)
        pads = [0, reach, 0, reach]
        return self._graph.conv(x, weight[:, :, None], given, pads=pads, dilations=[1, dilation])

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
        """x + sin(a x)^2 / b at twice the rate, back at the rate of x.

        To double a rate by zeros in between, and to halve it by leaving samples out, wastes half of the products. So
        even and odd samples are kept apart, each with its part of the filters. Written with u = 2 a x at twice the
        rate, the activation is (u - a/b cos u) / 2a + 1/2b: the factors go into the filters, and the last term behind
        them, as they keep what is constant. What is left to do at twice the rate are three operations.
        """
        graph, tensors = self._graph, self._tensors.scope(f"{name}.")
        alpha, beta = (self._parameter(tensors.take(f"act.{one}", (width,))) for one in ("alpha", "beta"))
        up = up_phases(tensors.take("upsample.filter").ravel())
        down = down_phases(tensors.take("downsample.lowpass.filter").ravel())
        held = _held(graph, x, up.shape[1] // 2)
        depth = graph.constant((alpha / beta).reshape(width, 1, 1))
        fine = []
        for taps in up:
            u = self._filtered(held, np.outer(2 * alpha, taps))
            fine.append(graph.op("Sub", u, graph.mul(graph.op("Cos", u), depth)))
        # beyond the edges stand the first even and the last odd sample
        reach = down.shape[1] // 2
        before = [graph.slice(fine[0], 0, 1, axis=3)] * reach
        after = [graph.slice(fine[1], -1, _END, axis=3)] * reach
        even, odd = (graph.concat(*before, one, *after, axis=3) for one in fine)
        constant = 0.5 / beta * down.sum()
        return graph.add(
            self._filtered(even, np.outer(0.5 / alpha, down[0]), constant),
            self._filtered(odd, np.outer(0.5 / alpha, down[1])),
        )

    def _filtered(self, x: str, taps: Array, bias: Array | None = None) -> str:
        """Each channel by its own taps [channels, n], only where all of them see something."""
        weight = taps[:, None, None].astype(np.float32)
        return self._graph.conv(x, weight, None if bias is None else bias.astype(np.float32), group=len(taps))

    def _parameter(self, kept: Array) -> Array:
        value = np.exp(kept) if self._sizes.log_scale else kept
        return np.where(value < 0, value - _TINY, value + _TINY)


def up_phases(taps: Array) -> Array:
    """A filter [taps] that doubles the rate as two [2, n] at the rate of its input, for even and odd samples.

    y[m] = 2 sum_i taps[m + before - 2i] x[i], where `before` centres the filter.
    """
    before = (len(taps) - 1) // 2
    reach = len(taps) // 4  # samples to each side
    phases = np.zeros((2, 2 * reach + 1), np.float32)
    for phase in range(2):
        for tap, value in enumerate(taps):
            if (doubled := phase + before - tap) % 2 == 0:
                phases[phase, doubled // 2 + reach] = 2 * value
    return phases


def down_phases(taps: Array) -> Array:
    """A filter [taps] that halves the rate as two [2, n], for the even and the odd samples of its input.

    y[n] = sum_k taps[k] x[2n + k - before], where `before` centres the filter.
    """
    before = len(taps) // 2 - 1
    reach = len(taps) // 4
    phases = np.zeros((2, 2 * reach + 1), np.float32)
    for tap, value in enumerate(taps):
        phases[(tap - before) % 2, (tap - before) // 2 + reach] = value
    return phases


def _held(graph: Graph, x: str, samples: int) -> str:
    """x with its first and its last value held over its edges."""
    return graph.op("Pad", x, graph.constant(np.array([0, 0, 0, samples, 0, 0, 0, samples], np.int64)), mode="edge")
