"""The vocoder as a graph: HiFT (Li et al., arXiv:2309.09493), from mel frames and the spectra of a source to speech's.

Upsampling convolutions, to each of which the source is added, and behind each a few parallel residual blocks with the
snake activation (Ziyin et al., arXiv:2006.08195). Knows nothing about pitch, streaming or how spectra become waves.

Time is an image's width, [1, channels, 1, samples]: ONNX Runtime has its quick kernels for images only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engines.cosyvoice.sizes import VocoderSizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.neighbours import rounded_convolution
from models.parts import upsample

#: keeps the divisions of the activation finite
_TINY = 1e-9
#: of the rectifier before the last convolution, which is torch's default and not that of the others
_LAST_SLOPE = 0.01
#: convolutions of fewer channels gain nothing by 8 bit: what is saved goes into rounding and moving
_NARROWEST_INT8 = 32


def build(tensors: Tensors, sizes: VocoderSizes, precision: Precision) -> Graph:
    """`tensors` is the scope of the vocoder. Inputs `mel` [1, mels, frames] and `source` [1, fft + 2, columns] float32,
    real parts before imaginary ones; output `spectrum`, as large: logarithms of magnitudes before what gives phases.

    Every precision but fp32 is 8 bit within the residual blocks, which take nearly all of the time: what they round is
    added to something exact.
    """
    return _Builder(tensors, sizes, precision).build()


class _Builder:
    def __init__(self, tensors: Tensors, sizes: VocoderSizes, precision: Precision) -> None:
        self._tensors = tensors
        self._sizes = sizes
        self._small = precision != "fp32"
        self._graph = Graph("vocoder")

    def build(self) -> Graph:
        graph, sizes = self._graph, self._sizes
        rows, width, last = sizes.fft + 2, sizes.width, len(sizes.rates) - 1
        mel = graph.reshape(graph.input("mel", "float32", [1, sizes.mels, "frames"]), 1, sizes.mels, 1, -1)
        source = graph.reshape(graph.input("source", "float32", [1, rows, "columns"]), 1, rows, 1, -1)
        x = self._conv("conv_pre", mel, sizes.mels, width)
        for stage, (rate, kernel) in enumerate(zip(sizes.rates, sizes.kernels, strict=True)):
            x = self._rectified(x, sizes.slope)
            x = upsample(self._graph, self._tensors, f"ups.{stage}", x, width, rate, kernel)
            width //= 2
            if stage == last:
                x = graph.concat(graph.slice(x, 1, 2, axis=3), x, axis=3)  # spectra have one column more than steps
            x = graph.add(x, self._source(stage, source, width))
            blocks = [
                self._block(f"resblocks.{stage * len(sizes.block_kernels) + number}", x, width, dilations)
                for number, dilations in enumerate(sizes.block_dilations)
            ]
            x = graph.mul(graph.op("Sum", *blocks), graph.constant(np.float32(1 / len(blocks))))
        x = self._conv("conv_post", self._rectified(x, _LAST_SLOPE), width, rows)
        graph.output("spectrum", graph.reshape(x, 1, rows, -1), "float32", [1, rows, "columns"])
        return graph

    def _source(self, stage: int, source: str, width: int) -> str:
        """The source at a stage's rate."""
        sizes, name = self._sizes, f"source_downs.{stage}"
        rate = int(np.prod(sizes.rates[stage + 1 :]))
        kernel = 1 if rate == 1 else 2 * rate
        weight = self._tensors.take(f"{name}.weight", (width, sizes.fft + 2, kernel))
        bias, pad = self._tensors.take(f"{name}.bias", (width,)), 0 if rate == 1 else rate // 2
        x = self._graph.conv(source, weight[:, :, None], bias, strides=[1, rate], pads=[0, pad, 0, pad])
        return self._block(f"source_resblocks.{stage}", x, width, sizes.source_dilations[stage])

    def _block(self, name: str, x: str, width: int, dilations: Sequence[int]) -> str:
        """Residual pairs of activation and convolution, the first one of each pair dilated."""
        for step, dilation in enumerate(dilations):
            y = self._snake(f"{name}.activations1.{step}", x, width)
            y = self._conv(f"{name}.convs1.{step}", y, width, width, dilation)
            y = self._snake(f"{name}.activations2.{step}", y, width)
            x = self._graph.add(x, self._conv(f"{name}.convs2.{step}", y, width, width))
        return x

    def _snake(self, name: str, x: str, width: int) -> str:
        """x + sin(a x)^2 / a"""
        graph = self._graph
        alpha = self._tensors.take(f"{name}.alpha", (width,)).reshape(width, 1, 1)
        wave = graph.op("Sin", graph.mul(x, graph.constant(alpha)))
        return graph.add(x, graph.mul(graph.mul(wave, wave), graph.constant(1 / (alpha + np.float32(_TINY)))))

    def _conv(self, name: str, x: str, inputs: int, outputs: int, dilation: int = 1) -> str:
        """A convolution that keeps the length. Its kernel's length is the tensor's."""
        kernel = self._tensors.weight_shape(name)[-1]
        weight = self._tensors.take_weight_norm(name, (outputs, inputs, kernel))
        bias, reach = self._tensors.take(f"{name}.bias", (outputs,)), (kernel - 1) * dilation // 2
        if self._small and inputs == outputs >= _NARROWEST_INT8:
            return rounded_convolution(self._graph, x, weight, bias, dilation)
        return self._graph.conv(x, weight[:, :, None], bias, pads=[0, reach, 0, reach], dilations=[1, dilation])

    def _rectified(self, x: str, slope: float) -> str:
        return self._graph.op("LeakyRelu", x, alpha=slope)
