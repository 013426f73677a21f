"""The graph of w2v-bert 2.0 (arXiv:2312.05187): filter bank frames to the semantic features of IndexTTS-2.

A conformer encoder (arXiv:2005.08100) with causal convolutions, whose attention knows distances up to a limit on either
side (`relative_key`, Shaw et al., arXiv:1803.02155). IndexTTS-2 takes the output of layer 17 and normalises it with
statistics of its own; layers above are never computed. Knows nothing about audio.

    frames [1,T,mels*stride] float32, heard [1,T] float32 (0 where a frame is padding) -> features [1,T,width] float32
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engines.indextts.sizes import Sizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.parts import count, depthwise, gate, join_heads, range_to, split_heads

#: IndexTTS-2 was trained on the output of this layer, `hidden_states[17]`; no file of the release says so
LAYERS = 17
#: added to the score of a frame that must not be heard: nothing is left of it after the softmax
_UNHEARD = np.float32(-1e9)


def build(
    tensors: Tensors, sizes: Sizes, precision: Precision = "fp32", *, config: Mapping[str, Any], statistics: Tensors
) -> Graph:
    """`config` is config.json of w2v-bert; `statistics` holds `mean` and `var` of the features.

    Raises CheckpointError for tensors that are missing or of other shapes, ValueError for another design.
    """
    for name, known in (("position_embeddings_type", "relative_key"), ("hidden_act", "swish"), ("add_adapter", False)):
        if config[name] != known:
            raise ValueError(f"w2v-bert's config.json says {name}: {config[name]}; only {known} is known here")
    graph = Graph("w2v_bert")
    frames = graph.input("frames", "float32", [1, "frames", config["feature_projection_input_dim"]])
    heard = graph.op("Unsqueeze", graph.input("heard", "float32", [1, "frames"]), graph.constant([2]))
    encoder = _Encoder(graph, config, precision, heard)
    x = encoder.project(tensors.scope("feature_projection."), frames)
    for layer in range(LAYERS):
        x = encoder.layer(tensors.scope(f"encoder.layers.{layer}."), x)
    width = sizes.codec.width
    deviation = np.sqrt(statistics.take("var", (width,)))
    x = graph.op(
        "Div", graph.op("Sub", x, graph.constant(statistics.take("mean", (width,)))), graph.constant(deviation)
    )
    graph.output("features", x, "float32", [1, "frames", width])
    tensors.ignore(lambda name: name == "masked_spec_embed" or _is_above(name))
    return graph


def _is_above(name: str) -> bool:
    """Is this a tensor of a layer that is not computed?"""
    parts = name.split(".")
    return parts[:2] == ["encoder", "layers"] and int(parts[2]) >= LAYERS


class _Encoder:
    """The layers, and what they share."""

    def __init__(self, graph: Graph, config: Mapping[str, Any], precision: Precision, heard: str) -> None:
        self._graph = graph
        self._precision = precision
        self._heard = heard
        self._width: int = config["hidden_size"]
        self._heads: int = config["num_attention_heads"]
        self._inner: int = config["intermediate_size"]
        self._kernel: int = config["conv_depthwise_kernel_size"]
        self._left: int = config["left_max_position_embeddings"]
        self._right: int = config["right_max_position_embeddings"]
        self._input: int = config["feature_projection_input_dim"]
        self._epsilon: float = config["layer_norm_eps"]
        self._distances = self._spread_distances()
        unheard = graph.mul(graph.op("Sub", graph.constant(np.float32(1)), heard), graph.constant(_UNHEARD))
        self._bias = graph.reshape(unheard, 1, 1, 1, -1)

    def project(self, tensors: Tensors, frames: str) -> str:
        """Frames to the encoder's width, zero where nothing is heard."""
        x = self._norm(tensors.scope("layer_norm."), frames, self._input)
        x = self._linear(tensors.scope("projection."), x, self._input, self._width)
        return self._graph.mul(x, self._heard)

    def layer(self, tensors: Tensors, x: str) -> str:
        """Half a feed-forward, attention, convolution, the other half; each is added to what came before."""
        graph, half = self._graph, self._graph.constant(np.float32(0.5))
        x = graph.add(x, graph.mul(self._feed_forward(tensors, "ffn1", x), half))
        x = graph.add(x, self._attend(tensors, x))
        x = graph.add(x, self._convolve(tensors.scope("conv_module."), x))
        x = graph.add(x, graph.mul(self._feed_forward(tensors, "ffn2", x), half))
        return self._norm(tensors.scope("final_layer_norm."), x)

    def _feed_forward(self, tensors: Tensors, name: str, x: str) -> str:
        x = self._norm(tensors.scope(f"{name}_layer_norm."), x)
        x = self._graph.silu(self._linear(tensors.scope(f"{name}.intermediate_dense."), x, self._width, self._inner))
        return self._linear(tensors.scope(f"{name}.output_dense."), x, self._inner, self._width)

    def _attend(self, tensors: Tensors, x: str) -> str:
        graph, width = self._graph, self._width // self._heads
        x = self._norm(tensors.scope("self_attn_layer_norm."), x)
        own = tensors.scope("self_attn.")
        query, key, value = (
            split_heads(
                graph, self._linear(own.scope(f"linear_{one}."), x, self._width, self._width), self._heads, width
            )
            for one in "qkv"
        )
        # a score for every distance there is, of which each pair of frames takes its own
        embedding = own.take("distance_embedding.weight", (self._left + 1 + self._right, width))
        by_distance = graph.op("MatMul", query, graph.constant(embedding.T))
        apart = graph.op("GatherElements", by_distance, self._distances, axis=3)
        scores = graph.add(graph.op("MatMul", query, graph.transpose(key, 0, 1, 3, 2)), apart)
        scores = graph.add(graph.mul(scores, graph.constant(np.float32(width**-0.5))), self._bias)
        mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), value)
        return self._linear(
            own.scope("linear_out."), join_heads(graph, mixed, self._heads, width), self._width, self._width
        )

    def _convolve(self, tensors: Tensors, x: str) -> str:
        graph, width = self._graph, self._width
        x = graph.mul(self._norm(tensors.scope("layer_norm."), x), self._heard)
        x = graph.linear(
            x, tensors.take("pointwise_conv1.weight", (2 * width, width, 1))[..., 0], None, self._precision
        )
        weight = tensors.take("depthwise_conv.weight", (width, 1, self._kernel))
        x = depthwise(graph, gate(graph, x, width), weight, None, pads=(self._kernel - 1, 0))
        x = graph.silu(self._norm(tensors.scope("depthwise_layer_norm."), x))
        return graph.linear(x, tensors.take("pointwise_conv2.weight", (width, width, 1))[..., 0], None, self._precision)

    def _spread_distances(self) -> str:
        """For each head and pair of frames [1, heads, T, T]: the row of the table of distances that is theirs."""
        graph = self._graph
        places = range_to(graph, count(graph, "frames", 1))
        later = graph.op("Unsqueeze", places, graph.constant([0]))
        apart = graph.op("Sub", later, graph.op("Unsqueeze", places, graph.constant([1])))
        near = graph.op("Clip", apart, graph.constant(np.int64(-self._left)), graph.constant(np.int64(self._right)))
        rows = graph.op("Cast", graph.add(near, graph.constant(np.int64(self._left))), to=6)  # int32
        return graph.op("Expand", rows, graph.constant([1, self._heads, 1, 1]))

    def _norm(self, tensors: Tensors, x: str, width: int = 0) -> str:
        shape = (width or self._width,)
        return self._graph.layer_norm(x, tensors.take("weight", shape), tensors.take("bias", shape), self._epsilon)

    def _linear(self, tensors: Tensors, x: str, wide: int, out: int) -> str:
        weight, bias = tensors.take("weight", (out, wide)), tensors.take("bias", (out,))
        return self._graph.linear(x, weight, bias, self._precision)
