"""The autoregressive model as one graph, for prefill, single steps and the teacher-forced pass: a GPT-2 without tables.

Keys and values lie in buffers [rows, heads, capacity, kept width] that the caller owns and binds as past and present at
once, so that a run writes its new positions in place. Embeddings are the caller's too. Radford et al. 2019, "Language
Models are Unsupervised Multitask Learners"; tensors have the names that the transformers library gives its GPT-2.
"""

from __future__ import annotations

from engines.indextts.sizes import GptSizes, Sizes
from models.attention import fill_heads
from models.checkpoint import Tensors
from models.graph import MICROSOFT, Array, Graph, Precision


def build(tensors: Tensors, sizes: Sizes, precision: Precision) -> Graph:
    """Take `gpt.*`, `final_norm` and `mel_head` out of the checkpoint.

    Inputs: embeddings [rows, steps, width] float32; filled [rows] int32, each row's last position after this run;
    longest [] int32, the largest of them plus one; past_key_N, past_value_N. Outputs: hidden [rows, steps, width] after
    both norms; logits [rows, codes] of each row's last step; present_key_N, present_value_N.

    Rows may be filled differently. With positions filled already, several steps at once go for a single row only.
    Raises CheckpointError; ValueError when the width cannot be shared among the heads.
    """
    gpt = sizes.gpt
    if gpt.width % gpt.heads:
        raise ValueError(f"a width of {gpt.width} cannot be shared among {gpt.heads} heads")
    graph = Graph("gpt")
    x = graph.input("embeddings", "float32", ["rows", "steps", gpt.width])
    filled = graph.input("filled", "int32", ["rows"])
    longest = graph.input("longest", "int32", [])
    for layer in range(gpt.layers):
        x = _block(graph, tensors.scope(f"gpt.h.{layer}."), gpt, layer, x, filled, longest, precision)
    for norm in ("gpt.ln_f", "final_norm"):
        x = _layer_norm(graph, tensors, norm, x, gpt.width)
    graph.output("hidden", x, "float32", ["rows", "steps", gpt.width])
    # Only the last step of each row is followed by a code, and the head's product is as large as a whole layer's.
    last = graph.op("Gather", x, graph.constant(-1), axis=1)
    weight, bias = tensors.take("mel_head.weight", (gpt.codes, gpt.width)), tensors.take("mel_head.bias", (gpt.codes,))
    graph.output("logits", graph.linear(last, weight, bias, precision), "float32", ["rows", gpt.codes])
    return graph


def _block(
    graph: Graph, tensors: Tensors, gpt: GptSizes, layer: int, x: str, filled: str, longest: str, precision: Precision
) -> str:
    """Pre-norm attention and feed-forward, each added to its input."""
    # Causal masks that older checkpoints hold; the kernel needs none.
    tensors.ignore(lambda name: name in ("attn.bias", "attn.masked_bias"))
    inner = _layer_norm(graph, tensors, "ln_1", x, gpt.width)
    weight, bias = _conv1d(tensors, "attn.c_attn", gpt.width, 3 * gpt.width)
    weight, bias = (fill_heads(one, 0, 3 * gpt.heads, gpt.head_width) for one in (weight, bias))
    inner = _attention(graph, gpt, layer, graph.linear(inner, weight, bias, precision), filled, longest)
    weight, bias = _conv1d(tensors, "attn.c_proj", gpt.width, gpt.width)
    x = graph.add(x, graph.linear(inner, fill_heads(weight, 1, gpt.heads, gpt.head_width), bias, precision))
    inner = _layer_norm(graph, tensors, "ln_2", x, gpt.width)
    wide = tensors.shape("mlp.c_fc.bias")[0]
    inner = _linear(graph, tensors, "mlp.c_fc", inner, gpt.width, wide, precision)
    inner = graph.op("FastGelu", inner, domain=MICROSOFT)  # with tanh, which the library calls gelu_new
    return graph.add(x, _linear(graph, tensors, "mlp.c_proj", inner, wide, gpt.width, precision))


def _attention(graph: Graph, gpt: GptSizes, layer: int, packed: str, filled: str, longest: str) -> str:
    """Causal attention of packed queries, keys and values over what the buffers hold and these."""
    shape: list[int | str] = ["rows", gpt.heads, "capacity", gpt.kept_width]
    past = [graph.input(f"past_{kind}_{layer}", "float32", shape) for kind in ("key", "value")]
    inputs = (packed, "", "", *past, filled, longest)
    attended, key, value = graph.ops(
        "GroupQueryAttention",
        *inputs,
        outputs=3,
        domain=MICROSOFT,
        num_heads=gpt.heads,
        kv_num_heads=gpt.heads,
        scale=gpt.head_width**-0.5,
    )
    graph.output(f"present_key_{layer}", key, "float32", shape)
    graph.output(f"present_value_{layer}", value, "float32", shape)
    return attended


def _layer_norm(graph: Graph, tensors: Tensors, name: str, x: str, width: int) -> str:
    return graph.layer_norm(x, tensors.take(f"{name}.weight", (width,)), tensors.take(f"{name}.bias", (width,)))


def _linear(graph: Graph, tensors: Tensors, name: str, x: str, inputs: int, outputs: int, precision: Precision) -> str:
    return graph.linear(x, *_conv1d(tensors, name, inputs, outputs), precision)


def _conv1d(tensors: Tensors, name: str, inputs: int, outputs: int) -> tuple[Array, Array]:
    """The library's linear map, whose weight is kept as [in, out]: weight [out, in] and bias [out]."""
    weight, bias = tensors.take(f"{name}.weight", (inputs, outputs)), tensors.take(f"{name}.bias", (outputs,))
    return weight.T, bias
