"""The graph of the semantic codec's encoder (RepCodec of MaskGCT, arXiv:2409.00750): features to codes and back.

A Vocos backbone (ConvNeXt blocks, arXiv:2306.00814) and one vector quantiser whose nearest code is the one of greatest
cosine similarity. The codec's decoder is no part of IndexTTS-2. Knows nothing about audio.

    features [1,T,width] float32 -> codes [1,T] int64, semantic [1,T,width] float32 (what the codes stand for)
"""

from __future__ import annotations

import numpy as np

from engines.indextts.sizes import CodecSizes, Sizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision
from models.parts import depthwise

#: of all normalisations in the backbone: the published design, told by no file
_EPSILON = 1e-6


def build(tensors: Tensors, sizes: Sizes, precision: Precision = "fp32") -> Graph:
    """Raises CheckpointError for tensors that are missing or of other shapes."""
    codec = sizes.codec
    graph = Graph("semantic_codec")
    features = graph.input("features", "float32", [1, "frames", codec.width])
    inner = _backbone(graph, tensors.scope("encoder.0."), codec, precision, features)
    last = tensors.scope("encoder.1.")
    shape = (codec.width, codec.vocos_width)
    encoded = graph.linear(inner, last.take("weight", shape), last.take("bias", shape[:1]), precision)
    codes, semantic = _quantise(graph, tensors.scope("quantizer.quantizers.0."), codec, encoded)
    graph.output("codes", codes, "int64", [1, "frames"])
    graph.output("semantic", semantic, "float32", [1, "frames", codec.width])
    tensors.scope("decoder.").ignore(lambda _: True)
    return graph


def _backbone(graph: Graph, tensors: Tensors, codec: CodecSizes, precision: Precision, x: str) -> str:
    width = codec.vocos_width
    kernel = tensors.shape("embed.weight")[-1]
    weight = tensors.take("embed.weight", (width, codec.width, kernel))
    pads = [kernel // 2, kernel // 2]
    x = graph.conv(graph.transpose(x, 0, 2, 1), weight, tensors.take("embed.bias", (width,)), pads=pads)
    x = _norm(graph, tensors.scope("norm."), graph.transpose(x, 0, 2, 1), width)
    for layer in range(codec.vocos_layers):
        x = graph.add(x, _block(graph, tensors.scope(f"convnext.{layer}."), codec, precision, x))
    return _norm(graph, tensors.scope("final_layer_norm."), x, width)


def _block(graph: Graph, tensors: Tensors, codec: CodecSizes, precision: Precision, x: str) -> str:
    width, inner = codec.vocos_width, codec.vocos_linear_width
    kernel = tensors.shape("dwconv.weight")[-1]
    weight = tensors.take("dwconv.weight", (width, 1, kernel))
    x = depthwise(graph, x, weight, tensors.take("dwconv.bias", (width,)), (kernel // 2, kernel // 2))
    x = _norm(graph, tensors.scope("norm."), x, width)
    x = graph.linear(
        x, tensors.take("pwconv1.weight", (inner, width)), tensors.take("pwconv1.bias", (inner,)), precision
    )
    x = graph.op("Gelu", x)
    scale = tensors.take("gamma", (width,))  # of each channel's output, and so of its row of weights
    weight = tensors.take("pwconv2.weight", (width, inner)) * scale[:, None]
    return graph.linear(x, weight, tensors.take("pwconv2.bias", (width,)) * scale, precision)


def _norm(graph: Graph, tensors: Tensors, x: str, width: int) -> str:
    return graph.layer_norm(x, tensors.take("weight", (width,)), tensors.take("bias", (width,)), _EPSILON)


def _quantise(graph: Graph, tensors: Tensors, codec: CodecSizes, encoded: str) -> tuple[str, str]:
    """The length of a vector does not change which code is nearest in angle, so that only the codes are normalised.

    Always in float32: codes are a choice, where a small error may become a great one.
    """
    small, wide = codec.code_width, codec.width
    weight = tensors.take_weight_norm("in_project", (small, wide, 1))[..., 0]
    vector = graph.linear(encoded, weight, tensors.take("in_project.bias", (small,)))
    codebook = tensors.take("codebook.weight", (codec.codebook, small))
    directions = codebook / np.maximum(np.linalg.norm(codebook, axis=1, keepdims=True), 1e-12)
    codes = graph.op("ArgMax", graph.linear(vector, directions), axis=-1, keepdims=0)
    weight = tensors.take_weight_norm("out_project", (wide, small, 1))[..., 0]
    chosen = graph.op("Gather", graph.constant(codebook), codes, axis=0)
    return codes, graph.linear(chosen, weight, tensors.take("out_project.bias", (wide,)))
