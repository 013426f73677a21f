"""The flow's estimator as a graph: a U-Net over mel frames. One call says where the mel goes.

Stages of a residual block (convolution, GroupNorm, Mish, the time added in between) and a few transformer blocks; one
level runs at half the rate, and what a level had on the way down is put beside it on the way up. As in Matcha-TTS
(Mehta et al., arXiv:2309.03199). Knows nothing about steps, guidance or what its inputs mean.

One utterance at a time, so there are no masks; rows of the batch are the same utterance under other conditions.
Everything runs time-major, [rows, frames, width], convolutions included: as matrix products they can be quantised.
"""

from __future__ import annotations

import numpy as np

from engines.cosyvoice.sizes import EstimatorSizes, FlowSizes
from models.checkpoint import Tensors
from models.graph import MICROSOFT, Array, Graph, Precision
from models.neighbours import flat, rounded_product, spread
from models.parts import mish

_GROUPS = 8
_EPSILON = 1e-5
_TIME_SCALE = 1000.0
#: the slowest of the time's waves turns so many times slower than the quickest
_TIME_BASE = 10_000.0
_END = np.iinfo(np.int64).max


def build(tensors: Tensors, sizes: FlowSizes, precision: Precision) -> Graph:
    """`tensors` is the scope of the estimator. Inputs, float32: `x`, `mu` and `prompt` [rows, mels, frames], `speaker`
    [rows, mels], `t` [1] in 0..1. Output `velocity` [rows, mels, frames]."""
    return _Builder(tensors, sizes.estimator, sizes.mels, precision).build()


class _Builder:
    def __init__(self, tensors: Tensors, sizes: EstimatorSizes, mels: int, precision: Precision) -> None:
        self._tensors = tensors
        self._sizes = sizes
        self._mels = mels
        self._precision: Precision = precision
        self._graph = Graph("estimator")
        self._time = ""  # what every residual block is told of it, [1, width]
        self._time_width = 0

    def build(self) -> Graph:
        graph, mels, widths = self._graph, self._mels, self._sizes.widths
        frames: list[int | str] = ["rows", mels, "frames"]
        x, mu, prompt = (
            graph.transpose(graph.input(name, "float32", frames), 0, 2, 1) for name in ("x", "mu", "prompt")
        )
        speaker = graph.op("Unsqueeze", graph.input("speaker", "float32", ["rows", mels]), graph.constant([1]))
        self._time = mish(graph, self._waves(graph.input("t", "float32", [1])))
        x = graph.concat(x, mu, graph.op("Expand", speaker, graph.op("Shape", x)), prompt, axis=2)

        width, skips = self._sizes.inputs, []
        for level, wide in enumerate(widths):
            x = self._stage(f"down_blocks.{level}", x, width, wide)
            skips.append(x)
            last = level == len(widths) - 1
            x = self._convolved(f"down_blocks.{level}.2" + ("" if last else ".conv"), x, wide, wide, 1 if last else 2)
            width = wide
        for number in range(self._sizes.middles):
            x = self._stage(f"mid_blocks.{number}", x, width, width)
        for level, wide in enumerate(reversed((widths[0], *widths[:-1]))):
            x = self._beside(x, skips.pop())
            x = self._stage(f"up_blocks.{level}", x, 2 * width, wide)
            last = level == len(widths) - 1
            x = self._convolved(f"up_blocks.{level}.2", x, wide, wide) if last else self._doubled(level, x, wide)
            width = wide
        x = self._block("final_block", x, width, width)
        weight = self._tensors.take("final_proj.weight", (self._sizes.outputs, width, 1))
        x = graph.linear(x, weight[:, :, 0], self._tensors.take("final_proj.bias", (self._sizes.outputs,)))
        graph.output("velocity", graph.transpose(x, 0, 2, 1), "float32", frames)
        return graph

    def _waves(self, t: str) -> str:
        """Sines and cosines of the time, and two layers upon them: [1, width]."""
        graph, tensors, inputs = self._graph, self._tensors.scope("time_mlp."), self._sizes.inputs
        half = inputs // 2
        frequencies = np.exp(-np.arange(half) * np.log(_TIME_BASE) / (half - 1))
        angles = graph.mul(t, graph.constant((_TIME_SCALE * frequencies[None]).astype(np.float32)))
        waves = graph.concat(graph.op("Sin", angles), graph.op("Cos", angles), axis=1)
        self._time_width = tensors.shape("linear_1.bias")[0]
        hidden = graph.silu(self._vector("time_mlp.linear_1", waves, self._time_width, inputs))
        return self._vector("time_mlp.linear_2", hidden, self._time_width, self._time_width)

    def _stage(self, name: str, x: str, inputs: int, outputs: int) -> str:
        x = self._resnet(f"{name}.0", x, inputs, outputs)
        for block in range(self._sizes.blocks):
            x = self._transformer(f"{name}.1.{block}", x, outputs)
        return x

    def _resnet(self, name: str, x: str, inputs: int, outputs: int) -> str:
        graph = self._graph
        hidden = self._block(f"{name}.block1", x, inputs, outputs)
        hidden = graph.add(hidden, self._vector(f"{name}.mlp.1", self._time, outputs, self._time_width))
        hidden = self._block(f"{name}.block2", hidden, outputs, outputs)
        weight = self._tensors.take(f"{name}.res_conv.weight", (outputs, inputs, 1))[:, :, 0]
        return graph.add(hidden, self._product(x, weight, self._tensors.take(f"{name}.res_conv.bias", (outputs,))))

    def _block(self, name: str, x: str, inputs: int, outputs: int) -> str:
        graph = self._graph
        x = self._convolved(f"{name}.block.0", x, inputs, outputs)
        scale, shift = (
            graph.constant(self._tensors.take(f"{name}.block.1.{one}", (outputs,))) for one in ("weight", "bias")
        )
        across = graph.transpose(x, 0, 2, 1)
        across = graph.op("GroupNormalization", across, scale, shift, num_groups=_GROUPS, epsilon=_EPSILON)
        return mish(graph, graph.transpose(across, 0, 2, 1))

    def _transformer(self, name: str, x: str, width: int) -> str:
        graph, inner = self._graph, self._sizes.heads * self._sizes.head_width
        normed = self._norm(f"{name}.norm1", x, width)
        weights = [self._tensors.take(f"{name}.attn1.to_{one}.weight", (inner, width)) for one in "qkv"]
        query, key, value = graph.split(self._product(normed, np.concatenate(weights)), [inner] * 3, axis=2)
        mixed = graph.op("MultiHeadAttention", query, key, value, domain=MICROSOFT, num_heads=self._sizes.heads)
        x = graph.add(x, self._linear(f"{name}.attn1.to_out.0", mixed, width, inner))
        wide = self._tensors.shape(f"{name}.ff.net.0.proj.bias")[0]
        hidden = self._linear(f"{name}.ff.net.0.proj", self._norm(f"{name}.norm3", x, width), wide, width)
        return graph.add(x, self._linear(f"{name}.ff.net.2", graph.op("Gelu", hidden), width, wide))

    def _convolved(self, name: str, x: str, inputs: int, outputs: int, stride: int = 1) -> str:
        """A convolution of three frames, with silence beyond the edges."""
        weight = self._tensors.take(f"{name}.weight", (outputs, inputs, 3))
        bias = self._tensors.take(f"{name}.bias", (outputs,))
        return self._spread_product(x, inputs, flat(weight), bias, stride)

    def _doubled(self, level: int, x: str, width: int) -> str:
        """A transposed convolution of stride 2: an even frame is made of its own and the one before, an odd one of its
        own and the one behind, so that each frame beside its two neighbours makes both."""
        graph, name = self._graph, f"up_blocks.{level}.2.conv"
        taps = self._tensors.take(f"{name}.weight", (width, width, 4)).transpose(2, 1, 0)  # [tap, out, in]
        nothing = np.zeros((width, width), np.float32)
        even, odd = (np.concatenate(one, axis=1) for one in ((taps[3], taps[1], nothing), (nothing, taps[2], taps[0])))
        bias = np.tile(self._tensors.take(f"{name}.bias", (width,)), 2)
        both = self._spread_product(x, width, np.concatenate([even, odd]), bias)
        return graph.reshape(both, 0, -1, width)

    def _spread_product(self, x: str, inputs: int, weight: Array, bias: Array, stride: int = 1) -> str:
        """Each frame beside its two neighbours, as a product."""
        graph = self._graph
        shape = graph.concat(graph.op("Shape", x, start=0, end=1), graph.constant([1, inputs]), axis=0)

        def arrange(rows: str, zero: str) -> str:
            beyond = graph.op("Expand", zero, shape)
            return spread(graph, graph.concat(beyond, rows, beyond, axis=1), 3, 1, axis=1, stride=stride)

        if self._precision == "fp32":
            return graph.linear(arrange(x, graph.constant(np.float32(0))), weight, bias)
        return rounded_product(graph, x, weight, bias, arrange)

    def _beside(self, x: str, skip: str) -> str:
        """What the same level had on the way down, behind x, which is cut to its length."""
        graph = self._graph
        length = graph.op("Shape", skip, start=1, end=2)
        trimmed = graph.op("Slice", x, graph.constant([0]), length, graph.constant([1]))
        return graph.concat(trimmed, skip, axis=2)

    def _norm(self, name: str, x: str, width: int) -> str:
        weight, bias = (self._tensors.take(f"{name}.{one}", (width,)) for one in ("weight", "bias"))
        return self._graph.layer_norm(x, weight, bias, _EPSILON)

    def _linear(self, name: str, x: str, outputs: int, inputs: int) -> str:
        weight = self._tensors.take(f"{name}.weight", (outputs, inputs))
        return self._product(x, weight, self._tensors.take(f"{name}.bias", (outputs,)))

    def _product(self, x: str, weight: Array, bias: Array | None = None) -> str:
        return self._graph.linear(x, weight, bias, self._precision)

    def _vector(self, name: str, x: str, outputs: int, inputs: int) -> str:
        """A linear map of one row: too little work to be worth quantising."""
        weight = self._tensors.take(f"{name}.weight", (outputs, inputs))
        return self._graph.linear(x, weight, self._tensors.take(f"{name}.bias", (outputs,)))
