"""What the flow is told: from speech tokens and a speaker to what conditions its estimator, before any stretching."""

from __future__ import annotations

from engines.cosyvoice.graphs import speaker as speakers
from engines.cosyvoice.graphs.encoder import encode
from engines.cosyvoice.sizes import FlowSizes
from models.checkpoint import Tensors
from models.graph import Graph, Precision


def build(tensors: Tensors, sizes: FlowSizes, precision: Precision) -> Graph:
    """Take `input_embedding`, `encoder`, `encoder_proj` and `spk_embed_affine_layer` out of flow.pt.

    Inputs: `tokens` [1, N] int64; `speaker` [1, speaker width] float32, of any length. Outputs: `content` [1, N, mels]
    and `timbre` [1, mels]. Raises CheckpointError.
    """
    graph, encoder, mels = Graph("flow_encoder"), sizes.encoder, sizes.mels
    tokens = graph.input("tokens", "int64", [1, "tokens"])
    speaker = graph.input("speaker", "float32", [1, sizes.speaker_width])
    table = tensors.take("input_embedding.weight", (sizes.speech_tokens, encoder.input_width))
    x = graph.op("Gather", graph.constant(table), tokens)
    x = encode(graph, tensors.scope("encoder."), encoder, x, causal=False, precision=precision)
    weight, bias = (
        tensors.take("encoder_proj.weight", (mels, encoder.width)),
        tensors.take("encoder_proj.bias", (mels,)),
    )
    graph.output("content", graph.linear(x, weight, bias), "float32", [1, "tokens", mels])
    timbre = speakers.place(graph, tensors, speaker, sizes.speaker_width, mels)
    graph.output("timbre", timbre, "float32", [1, mels])
    return graph
