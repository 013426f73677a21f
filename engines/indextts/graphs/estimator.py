"""The flow's estimator as a graph: a diffusion transformer with a WaveNet behind it. One call says where the mel goes.

Transformer: Peebles and Xie, arXiv:2212.09748, with rotary positions (arXiv:2104.09864), RMS norms whose scale and
shift come from the time, SwiGLU, and skips between mirrored layers (Bao et al., arXiv:2209.12152). WaveNet: van den
Oord et al., arXiv:1609.03499, not causal. Knows nothing about steps, guidance or what its inputs mean.

One utterance at a time, so there are no masks; rows of the batch are the same utterance under other conditions. Of the
prompt's frames no velocity is wanted: keys and values are all that the last layer makes of them, and the WaveNet goes
over those few that it sees from what follows.
Everything runs time-major, [rows, frames, width], convolutions included: as matrix products they can be quantised.
"""

from __future__ import annotations

import numpy as np

from engines.indextts.sizes import EstimatorSizes, Sizes
from models.checkpoint import Tensors
from models.graph import MICROSOFT, Array, Graph, Precision
from models.neighbours import flat, rounded_product, spread

#: tensors that belong to other variants of this design, or are tables that training kept
_UNUSED = {"input_pos", "cond_embedder.weight", "content_mask_embedder.weight"}
_ROTARY_BASE = 10_000.0
_TIME_SCALE = 1000.0
_NORM_EPSILON = 1e-5
_FINAL_EPSILON = 1e-6
_END = np.iinfo(np.int64).max


def build(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    """`tensors` is the scope of the estimator. Inputs, float32: `x` and `prompt` [rows, mels, frames], `t` [1] in 0..1,
    `style` [rows, style], `mu` [rows, frames, content]; and int64 `known` [1]: frames that are the prompt's. Output
    `velocity` [rows, mels, frames - known]: of those behind them."""
    return _Builder(tensors, sizes.estimator, sizes.regulator.width, precision).build()


class _Builder:
    def __init__(self, tensors: Tensors, sizes: EstimatorSizes, mu_width: int, precision: Precision) -> None:
        self._tensors = tensors
        self._sizes = sizes
        self._mu_width = mu_width
        self._precision = precision
        self._graph = Graph("estimator")

    def build(self) -> Graph:
        graph, sizes = self._graph, self._sizes
        width, mels = sizes.width, sizes.mels
        x = graph.transpose(graph.input("x", "float32", ["rows", mels, "frames"]), 0, 2, 1)
        prompt = graph.transpose(graph.input("prompt", "float32", ["rows", mels, "frames"]), 0, 2, 1)
        t = graph.input("t", "float32", [1])
        style = graph.input("style", "float32", ["rows", sizes.style_width])
        mu = graph.input("mu", "float32", ["rows", "frames", self._mu_width])
        known = graph.input("known", "int64", [1])

        time = self._time("t_embedder", t)
        begin = graph.op("Max", graph.op("Sub", known, graph.constant([self._seen_before()])), graph.constant([0]))
        hidden = self._transformer(self._merged(x, prompt, style, mu), time, begin)
        hidden = self._linear("skip_linear", graph.concat(hidden, self._since(begin, x), axis=2), width, width + mels)
        out = self._wavenet(self._linear("conv1", hidden, sizes.wavenet_width, width), self._time("t_embedder2", t))
        out = graph.add(out, self._linear("res_projection", hidden, sizes.wavenet_width, width))
        out = self._final(self._since(graph.op("Sub", known, begin), out), time)
        weight = self._tensors.take("conv2.weight", (mels, out_width := sizes.wavenet_width, 1))
        out = graph.linear(out, weight.reshape(mels, out_width), self._tensors.take("conv2.bias", (mels,)))
        # training embeds the mel with a layer that this design then leaves out
        self._tensors.ignore(lambda name: name in _UNUSED or name.startswith("x_embedder."))
        graph.output("velocity", graph.transpose(out, 0, 2, 1), "float32", ["rows", mels, "spoken"])
        return graph

    def _since(self, begin: str, x: str) -> str:
        """x [rows, frames, width] from a frame on."""
        graph = self._graph
        return graph.op("Slice", x, begin, graph.constant([_END]), graph.constant([1]))

    def _linear(self, name: str, x: str, outputs: int, inputs: int, bias: bool = True) -> str:
        weight = self._tensors.take(f"{name}.weight", (outputs, inputs))
        return self._product(x, weight, self._tensors.take(f"{name}.bias", (outputs,)) if bias else None)

    def _product(self, x: str, weight: Array, bias: Array | None = None) -> str:
        return self._graph.linear(x, weight, bias, self._precision)

    def _vector(self, name: str, x: str, outputs: int, inputs: int) -> str:
        """A linear map of one row: too little work to be worth quantising."""
        weight = self._tensors.take(f"{name}.weight", (outputs, inputs))
        return self._graph.linear(x, weight, self._tensors.take(f"{name}.bias", (outputs,)))

    def _time(self, name: str, t: str) -> str:
        """Sines and cosines of the time, and two layers upon them: [1, width]."""
        graph, tensors, width = self._graph, self._tensors.scope(f"{name}."), self._sizes.width
        frequencies = tensors.take("freqs")
        angles = graph.mul(t, graph.constant(_TIME_SCALE * frequencies[None]))
        waves = graph.concat(graph.op("Cos", angles), graph.op("Sin", angles), axis=1)
        hidden = graph.silu(self._vector(f"{name}.mlp.0", waves, width, 2 * len(frequencies)))
        return self._vector(f"{name}.mlp.2", hidden, width, width)

    def _merged(self, x: str, prompt: str, style: str, mu: str) -> str:
        """What is known of each frame, side by side, through one linear map. The style's part is the same for all
        frames, and so computed once."""
        graph, sizes = self._graph, self._sizes
        width, mels = sizes.width, sizes.mels
        content = self._linear("cond_projection", mu, width, self._mu_width)
        varying = 2 * mels + width
        weight = self._tensors.take("cond_x_merge_linear.weight", (width, varying + sizes.style_width))
        bias = self._tensors.take("cond_x_merge_linear.bias", (width,))
        constant = graph.linear(style, weight[:, varying:], bias)
        merged = self._product(graph.concat(x, prompt, content, axis=2), weight[:, :varying])
        return graph.add(merged, graph.reshape(constant, -1, 1, width))

    def _transformer(self, x: str, time: str, begin: str) -> str:
        """What it makes of all frames from `begin` on."""
        sizes = self._sizes
        rotary = self._rotary(x)
        skips: list[str] = []
        for layer in range(sizes.layers):
            name = f"transformer.layers.{layer}"
            if layer > sizes.layers // 2:
                joined = self._graph.concat(x, skips.pop(), axis=2)
                x = self._linear(f"{name}.skip_in_linear", joined, sizes.width, 2 * sizes.width)
            x = self._layer(name, x, time, rotary, begin if layer == sizes.layers - 1 else "")
            if layer < sizes.layers // 2:
                skips.append(x)
        # every layer of a checkpoint has the map, used or not
        self._tensors.ignore(lambda name: name.startswith("transformer.layers.") and ".skip_in_linear." in name)
        return self._norm("transformer.norm", x, time)

    def _layer(self, name: str, x: str, time: str, rotary: tuple[str, str, str], begin: str = "") -> str:
        """`begin`: the frame from which on an answer is wanted; all of them otherwise."""
        graph, width = self._graph, self._sizes.width
        attended = self._attention(f"{name}.attention", self._norm(f"{name}.attention_norm", x, time), rotary, begin)
        x = graph.add(self._since(begin, x) if begin else x, attended)
        normed = self._norm(f"{name}.ffn_norm", x, time)
        inner = self._tensors.shape(f"{name}.feed_forward.w1.weight")[0]
        gate = graph.silu(self._linear(f"{name}.feed_forward.w1", normed, inner, width, bias=False))
        value = self._linear(f"{name}.feed_forward.w3", normed, inner, width, bias=False)
        return graph.add(x, self._linear(f"{name}.feed_forward.w2", graph.mul(gate, value), width, inner, bias=False))

    def _norm(self, name: str, x: str, time: str) -> str:
        """RMS norm (arXiv:1910.07467), then a scale and a shift per channel that the time decides."""
        graph, width = self._graph, self._sizes.width
        scale, shift = graph.split(
            graph.reshape(self._vector(f"{name}.project_layer", time, 2 * width, width), -1), [width, width], axis=0
        )
        scale = graph.mul(scale, graph.constant(self._tensors.take(f"{name}.norm.weight", (width,))))
        normed = graph.op("SimplifiedLayerNormalization", x, scale, axis=-1, epsilon=_NORM_EPSILON, stash_type=1)
        return graph.add(normed, shift)

    def _rotary(self, x: str) -> tuple[str, str, str]:
        """Positions, and cosines and sines of each: [frames, head_width / 2]."""
        graph, half = self._graph, self._sizes.head_width // 2
        frequencies = _ROTARY_BASE ** (-np.arange(half, dtype=np.float64) / half)
        frames = graph.op("Squeeze", graph.op("Shape", x, start=1, end=2))
        positions = graph.op("Range", graph.constant(np.int64(0)), frames, graph.constant(np.int64(1)))
        column = graph.reshape(graph.op("Cast", positions, to=1), -1, 1)
        angles = graph.mul(column, graph.constant(frequencies[None].astype(np.float32)))
        first = graph.constant(np.zeros(1, np.int64))
        return first, graph.op("Cos", angles), graph.op("Sin", angles)

    def _attention(self, name: str, x: str, rotary: tuple[str, str, str], begin: str) -> str:
        graph, sizes = self._graph, self._sizes
        width, heads = sizes.width, sizes.heads
        packed = self._tensors.take(f"{name}.wqkv.weight", (3 * width, width)).reshape(
            3, heads, sizes.head_width, width
        )
        # The checkpoint rotates pairs of neighbours, kernels pairs of halves: even rows first, odd rows behind.
        # Products of queries and keys do not change when the channels of both are reordered alike.
        halves = [np.concatenate([one[:, 0::2], one[:, 1::2]], axis=1) for one in packed[:2]]
        weight = np.concatenate([*halves, packed[2]], axis=0).reshape(3 * width, width)
        query, key, value = graph.split(self._product(x, weight), [width] * 3, axis=2)
        query, key = (
            graph.op("RotaryEmbedding", one, *rotary, domain=MICROSOFT, interleaved=0, num_heads=heads)
            for one in (query, key)
        )
        asked = self._since(begin, query) if begin else query
        mixed = graph.op("MultiHeadAttention", asked, key, value, domain=MICROSOFT, num_heads=heads)
        return self._linear(f"{name}.wo", mixed, width, width, bias=False)

    def _wavenet(self, x: str, time: str) -> str:
        """Gated convolutions that add to their input, and whose other halves are summed up."""
        graph, sizes, tensors = self._graph, self._sizes, self._tensors.scope("wavenet.")
        width, layers = sizes.wavenet_width, sizes.wavenet_layers
        weight = tensors.take_weight_norm("cond_layer.conv.conv", (2 * width * layers, sizes.width, 1))
        given = graph.linear(time, weight[:, :, 0], tensors.take("cond_layer.conv.conv.bias", (2 * width * layers,)))
        total = ""
        for layer, condition in enumerate(graph.split(graph.reshape(given, -1), [2 * width] * layers, axis=0)):
            inside = graph.add(self._convolved(f"wavenet.in_layers.{layer}.conv.conv", x, layer), condition)
            wave, gate = graph.split(inside, [width, width], axis=2)
            gated = graph.mul(graph.op("Tanh", wave), graph.op("Sigmoid", gate))
            last = layer == layers - 1
            name, outputs = f"res_skip_layers.{layer}.conv.conv", width if last else 2 * width
            weight = tensors.take_weight_norm(name, (outputs, width, 1))
            parts = self._product(gated, weight[:, :, 0], tensors.take(f"{name}.bias", (outputs,)))
            if not last:
                more, parts = graph.split(parts, [width, width], axis=2)
                x = graph.add(x, more)
            total = graph.add(total, parts) if total else parts
        return total

    def _convolved(self, name: str, x: str, layer: int) -> str:
        """A convolution over time with reflected edges, as one product: each frame beside its neighbours."""
        graph, sizes = self._graph, self._sizes
        width, kernel = sizes.wavenet_width, sizes.wavenet_kernel
        before, after = self._sees(layer)
        pads = graph.constant(np.array([0, before, 0, 0, after, 0], np.int64))
        padded = graph.op("Pad", x, pads, mode="reflect")
        weight = flat(self._tensors.take_weight_norm(name, (2 * width, width, kernel)))
        bias = self._tensors.take(f"{name}.bias", (2 * width,))

        def arrange(rows: str, zero: str = "") -> str:
            return spread(graph, rows, kernel, sizes.wavenet_dilation_rate**layer, axis=1)

        if self._precision == "fp32":
            return self._product(arrange(padded), weight, bias)
        return rounded_product(graph, padded, weight, bias, arrange)

    def _sees(self, layer: int) -> tuple[int, int]:
        """Frames before and behind each that a layer of the WaveNet takes in."""
        sizes = self._sizes
        reach = (sizes.wavenet_kernel - 1) * sizes.wavenet_dilation_rate**layer
        return reach - reach // 2, reach // 2

    def _seen_before(self) -> int:
        """Frames before each that the WaveNet's answer depends on."""
        return sum(self._sees(layer)[0] for layer in range(self._sizes.wavenet_layers))

    def _final(self, x: str, time: str) -> str:
        """A norm whose scale and shift the time decides, and a linear map."""
        graph, width = self._graph, self._sizes.wavenet_width
        name = "final_layer.adaLN_modulation.1"
        given = graph.reshape(self._vector(name, graph.silu(time), 2 * width, self._sizes.width), -1)
        shift, scale = graph.split(given, [width, width], axis=0)
        scale = graph.add(scale, graph.constant(np.float32(1)))
        normed = graph.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=_FINAL_EPSILON)
        weight = self._tensors.take_weight_norm("final_layer.linear", (width, width))
        return self._product(normed, weight, self._tensors.take("final_layer.linear.bias", (width,)))
