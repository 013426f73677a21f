"""From a text and a speaker to rows for the language model."""

from __future__ import annotations

from engines.cosyvoice.graphs import speaker as speakers
from engines.cosyvoice.graphs.encoder import encode
from engines.cosyvoice.sizes import LmSizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision


def build(tensors: Tensors, sizes: LmSizes, precision: Precision) -> Graph:
    """Take `text_embedding`, `text_encoder`, `text_encoder_affine_layer` and `spk_embed_affine_layer` out of llm.pt.

    Inputs: ids [1, N] int64, of a text's tokens; speaker [1, speaker width] float32, of any length. Outputs: text
    [1, N, width] and voice [1, 1, width]. Raises CheckpointError.
    """
    graph = Graph("text_encoder")
    ids = graph.input("ids", "int64", [1, "tokens"])
    speaker = graph.input("speaker", "float32", [1, sizes.speaker_width])
    encoder, width = sizes.text_encoder, sizes.decoder.input_width
    table = tensors.take("text_embedding.weight", (sizes.text_tokens, encoder.input_width))
    x = graph.op("Gather", graph.constant(table), ids)
    x = encode(graph, tensors.scope("text_encoder."), encoder, x, causal=True, precision=precision)
    weight = tensors.take("text_encoder_affine_layer.weight", (width, encoder.width))
    x = graph.linear(x, weight, tensors.take("text_encoder_affine_layer.bias", (width,)), precision)
    graph.output("text", x, "float32", [1, "tokens", width])
    voice = speakers.place(graph, tensors, speaker, sizes.speaker_width, width)
    graph.output("voice", graph.reshape(voice, 1, 1, -1), "float32", [1, 1, width])
    return graph
