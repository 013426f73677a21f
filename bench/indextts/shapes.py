"""Names and shapes of a release's tensors, written out from a design: what a checkpoint of these sizes has to hold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from bench.indextts.design import Design
from engines.indextts.sizes import CodecSizes, ConditionerSizes

#: how a tensor is filled: noise whose product with as wide an input keeps its length; or all the same
Fill = Literal["noise", "ones", "zeros", "tenth"]
Shapes = Iterator[tuple[str, tuple[int, ...], Fill]]

_KERNEL = 15  # of the conformer's depthwise convolution
_VOCOS_KERNEL = 7
_POSITIONS = 5000
_WIDENING = 4
_SINES = 128
_FILTER_TAPS = 12
_EDGE_KERNEL = 7
_STYLE_LAYERS = (12, 24, 16)


def below(prefix: str, shapes: Shapes) -> Shapes:
    return ((prefix + name, shape, fill) for name, shape, fill in shapes)


def gpt(design: Design) -> Shapes:
    """gpt.pth."""
    sizes = design.sizes
    own, width, features = sizes.gpt, sizes.gpt.width, sizes.codec.width
    yield from below("conditioning_encoder.", _conformer(sizes.speaker, features))
    yield from below("perceiver_encoder.", _perceiver(design, sizes.speaker, design.speaker_rows, width))
    yield from below("emo_conditioning_encoder.", _conformer(sizes.emotion, features))
    yield from below("emo_perceiver_encoder.", _perceiver(design, sizes.emotion, 1, features))
    yield from _linear("emovec_layer", features, width)
    yield from _linear("emo_layer", width, width)
    yield "speed_emb.weight", (2, width), "noise"
    for name, rows in (
        ("text_embedding", own.text_tokens + 1),
        ("mel_embedding", own.codes),
        ("text_pos_embedding.emb", own.max_text_tokens + 2),
        ("mel_pos_embedding.emb", own.max_codes + 3),
    ):
        yield f"{name}.weight", (rows, width), "noise"
    for layer in range(own.layers):
        yield from below(f"gpt.h.{layer}.", _block(width))
    yield from _norm("gpt.ln_f", width)
    yield from _norm("final_norm", width)
    yield from _linear("text_head", width, own.text_tokens + 1)
    yield from _linear("mel_head", width, own.codes)


def s2mel(design: Design) -> Shapes:
    """s2mel.pth."""
    yield from below("net.cfm.estimator.", _estimator(design))
    yield from below("net.length_regulator.", _length_regulator(design))
    widths = (design.sizes.gpt.width, *design.gpt_layer_widths, design.sizes.codec.width)
    for layer, (inputs, outputs) in enumerate(pairwise(widths)):
        yield from _linear(f"net.gpt_layer.{layer}", inputs, outputs)


def semantic_codec(design: Design) -> Shapes:
    """MaskGCT's semantic codec."""
    codec = design.sizes.codec
    for side in ("encoder", "decoder"):
        yield from below(f"{side}.0.", _vocos(codec))
        yield from _linear(f"{side}.1", codec.vocos_width, codec.width)
    quantiser = "quantizer.quantizers.0"
    yield f"{quantiser}.codebook.weight", (codec.codebook, codec.code_width), "noise"
    yield from _weight_norm(f"{quantiser}.in_project", (codec.code_width, codec.width, 1))
    yield from _weight_norm(f"{quantiser}.out_project", (codec.width, codec.code_width, 1))


def vocoder(design: Design) -> Shapes:
    """bigvgan_generator.pt."""
    return below("generator.", _generator(design))


def w2v_bert(design: Design) -> Shapes:
    """w2v-bert 2.0."""
    config = design.w2v_bert
    width, inner, features = config["hidden_size"], config["intermediate_size"], config["feature_projection_input_dim"]
    yield from _norm("feature_projection.layer_norm", features)
    yield from _linear("feature_projection.projection", features, width)
    yield "masked_spec_embed", (width,), "noise"
    distances = config["left_max_position_embeddings"] + 1 + config["right_max_position_embeddings"]
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layers.{layer}"
        for forward in ("ffn1", "ffn2"):
            yield from _norm(f"{name}.{forward}_layer_norm", width)
            yield from _linear(f"{name}.{forward}.intermediate_dense", width, inner)
            yield from _linear(f"{name}.{forward}.output_dense", inner, width)
        yield from _norm(f"{name}.self_attn_layer_norm", width)
        for one in ("linear_q", "linear_k", "linear_v", "linear_out"):
            yield from _linear(f"{name}.self_attn.{one}", width, width)
        heads = width // config["num_attention_heads"]
        yield f"{name}.self_attn.distance_embedding.weight", (distances, heads), "noise"
        for one in ("layer_norm", "depthwise_layer_norm"):
            yield from _norm(f"{name}.conv_module.{one}", width)
        yield f"{name}.conv_module.pointwise_conv1.weight", (2 * width, width, 1), "noise"
        kernel = config["conv_depthwise_kernel_size"]
        yield f"{name}.conv_module.depthwise_conv.weight", (width, 1, kernel), "noise"
        yield f"{name}.conv_module.pointwise_conv2.weight", (width, width, 1), "noise"
        yield from _norm(f"{name}.final_layer_norm", width)


def style(design: Design) -> Shapes:
    """CAM++."""
    head, channels, growth = design.style_head_channels, design.style_channels, design.style_growth
    inner = growth * design.style_squeeze
    yield from _square("head.conv1", "head.bn1", 1, head)
    for group in ("layer1", "layer2"):
        for number in (0, 1):
            name = f"head.{group}.{number}"
            yield from _square(f"{name}.conv1", f"{name}.bn1", head, head)
            yield from _square(f"{name}.conv2", f"{name}.bn2", head, head)
            if number == 0:
                yield from _square(f"{name}.shortcut.0", f"{name}.shortcut.1", head, head, kernel=1)
    yield from _square("head.conv2", "head.bn2", head, head)
    mels = design.sizes.estimator.mels
    yield "xvector.tdnn.linear.weight", (channels, head * mels // 8, 5), "noise"
    yield from _batch_norm("xvector.tdnn.nonlinear.batchnorm", channels)
    for block, layers in enumerate(_STYLE_LAYERS, 1):
        for layer in range(1, layers + 1):
            name = f"xvector.block{block}.tdnnd{layer}"
            yield from _batch_norm(f"{name}.nonlinear1.batchnorm", channels)
            yield f"{name}.linear1.weight", (inner, channels, 1), "noise"
            yield from _batch_norm(f"{name}.nonlinear2.batchnorm", inner)
            yield f"{name}.cam_layer.linear_local.weight", (growth, inner, 3), "noise"
            yield from _linear(f"{name}.cam_layer.linear1", inner, inner // 2, 1)
            yield from _linear(f"{name}.cam_layer.linear2", inner // 2, growth, 1)
            channels += growth
        yield from _batch_norm(f"xvector.transit{block}.nonlinear.batchnorm", channels)
        yield f"xvector.transit{block}.linear.weight", (channels // 2, channels, 1), "noise"
        channels //= 2
    yield from _batch_norm("xvector.out_nonlinear.batchnorm", channels)
    width = design.sizes.estimator.style_width
    yield "xvector.dense.linear.weight", (width, 2 * channels, 1), "noise"
    yield from _batch_norm("xvector.dense.nonlinear.batchnorm", width, affine=False)


def emotion_speakers(design: Design) -> Shapes:
    yield "", (sum(design.sizes.emotion_rows), design.sizes.estimator.style_width), "noise"


def emotion_vectors(design: Design) -> Shapes:
    yield "", (sum(design.sizes.emotion_rows), design.sizes.gpt.width), "noise"


def statistics(design: Design) -> Shapes:
    yield "mean", (design.sizes.codec.width,), "noise"
    yield "var", (design.sizes.codec.width,), "ones"


def _linear(name: str, inputs: int, outputs: int, *kernel: int) -> Shapes:
    yield f"{name}.weight", (outputs, inputs, *kernel), "noise"
    yield f"{name}.bias", (outputs,), "zeros"


def _norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,), "ones"
    yield f"{name}.bias", (width,), "zeros"


def _batch_norm(name: str, width: int, affine: bool = True) -> Shapes:
    if affine:
        yield from _norm(name, width)
    yield f"{name}.running_mean", (width,), "zeros"
    yield f"{name}.running_var", (width,), "ones"
    yield f"{name}.num_batches_tracked", (), "zeros"


def _weight_norm(name: str, shape: tuple[int, ...], bias: int = 0) -> Shapes:
    """`bias`: its length where it is not the weight's first axis."""
    yield f"{name}.weight_v", shape, "noise"
    yield f"{name}.weight_g", (shape[0],) + (1,) * (len(shape) - 1), "ones"
    yield f"{name}.bias", (bias or shape[0],), "zeros"


def _square(conv: str, norm: str, inputs: int, outputs: int, kernel: int = 3) -> Shapes:
    yield f"{conv}.weight", (outputs, inputs, kernel, kernel), "noise"
    yield from _batch_norm(norm, outputs)


def _block(width: int) -> Shapes:
    """A layer of GPT-2, whose weights are kept with inputs first."""
    inner = _WIDENING * width
    yield from _norm("ln_1", width)
    yield from _norm("ln_2", width)
    for name, inputs, outputs in (
        ("attn.c_attn", width, 3 * width),
        ("attn.c_proj", width, width),
        ("mlp.c_fc", width, inner),
        ("mlp.c_proj", inner, width),
    ):
        yield f"{name}.weight", (inputs, outputs), "noise"
        yield f"{name}.bias", (outputs,), "zeros"


def _conformer(sizes: ConditionerSizes, features: int) -> Shapes:
    width, heads = sizes.width, sizes.heads
    yield from _linear("embed.conv.0", 1, width, 3, 3)
    yield from _linear("embed.out.0", width * ((features - 1) // 2), width)
    yield "embed.pos_enc.pe", (1, _POSITIONS, width), "noise"
    yield from _norm("after_norm", width)
    for layer in range(sizes.layers):
        name = f"encoders.{layer}"
        for bias in ("pos_bias_u", "pos_bias_v"):
            yield f"{name}.self_attn.{bias}", (heads, width // heads), "noise"
        for one in ("linear_q", "linear_k", "linear_v", "linear_out"):
            yield from _linear(f"{name}.self_attn.{one}", width, width)
        yield f"{name}.self_attn.linear_pos.weight", (width, width), "noise"
        yield from _linear(f"{name}.feed_forward.w_1", width, sizes.linear_width)
        yield from _linear(f"{name}.feed_forward.w_2", sizes.linear_width, width)
        yield from _linear(f"{name}.conv_module.pointwise_conv1", width, 2 * width, 1)
        yield from _linear(f"{name}.conv_module.depthwise_conv", 1, width, _KERNEL)
        yield from _norm(f"{name}.conv_module.norm", width)
        yield from _linear(f"{name}.conv_module.pointwise_conv2", width, width, 1)
        for norm in ("norm_ff", "norm_mha", "norm_conv", "norm_final"):
            yield from _norm(f"{name}.{norm}", width)


def _perceiver(design: Design, sizes: ConditionerSizes, rows: int, width: int) -> Shapes:
    inner = sizes.heads * design.perceiver_head_width
    forward = int(width * sizes.perceiver_mult * 2 / 3)
    yield "latents", (rows, width), "noise"
    yield from _linear("proj_context", sizes.width, width)
    for layer in (0, 1):
        yield f"layers.{layer}.0.to_q.weight", (inner, width), "noise"
        yield f"layers.{layer}.0.to_kv.weight", (2 * inner, width), "noise"
        yield f"layers.{layer}.0.to_out.weight", (width, inner), "noise"
        yield from _linear(f"layers.{layer}.1.0", width, 2 * forward)
        yield from _linear(f"layers.{layer}.1.2", forward, width)
    yield "norm.gamma", (width,), "ones"


def _vocos(codec: CodecSizes) -> Shapes:
    width = codec.vocos_width
    yield from _linear("embed", codec.width, width, _VOCOS_KERNEL)
    yield from _norm("norm", width)
    for layer in range(codec.vocos_layers):
        name = f"convnext.{layer}"
        yield from _linear(f"{name}.dwconv", 1, width, _VOCOS_KERNEL)
        yield from _norm(f"{name}.norm", width)
        yield from _linear(f"{name}.pwconv1", width, codec.vocos_linear_width)
        yield from _linear(f"{name}.pwconv2", codec.vocos_linear_width, width)
        yield f"{name}.gamma", (width,), "tenth"
    yield from _norm("final_layer_norm", width)


def _length_regulator(design: Design) -> Shapes:
    sizes, config = design.sizes.regulator, design.config["s2mel"]["length_regulator"]
    width = sizes.width
    yield "mask_token", (1, width), "noise"
    for layer in range(sizes.layers):
        yield from _linear(f"model.{3 * layer}", width, width, 3)
        yield from _norm(f"model.{3 * layer + 1}", width)
    yield from _linear(f"model.{3 * sizes.layers}", width, width, 1)
    yield "embedding.weight", (config["content_codebook_size"], width), "noise"
    yield from _linear("content_in_proj", sizes.input_width, width)


def _estimator(design: Design) -> Shapes:
    sizes = design.sizes.estimator
    width, mels, wide = sizes.width, sizes.mels, sizes.wavenet_width
    inner = -(-(_WIDENING * width * 2 // 3) // 256) * 256  # two thirds, as a gate doubles it, in steps of 256
    for layer in range(sizes.layers):
        name = f"transformer.layers.{layer}"
        yield f"{name}.attention.wqkv.weight", (3 * width, width), "noise"
        yield f"{name}.attention.wo.weight", (width, width), "noise"
        for one, shape in (("w1", (inner, width)), ("w3", (inner, width)), ("w2", (width, inner))):
            yield f"{name}.feed_forward.{one}.weight", shape, "noise"
        yield from _timed_norm(f"{name}.ffn_norm", width)
        yield from _timed_norm(f"{name}.attention_norm", width)
        yield from _linear(f"{name}.skip_in_linear", 2 * width, width)
    yield from _timed_norm("transformer.norm", width)
    yield from _weight_norm("x_embedder", (width, mels))
    yield "cond_embedder.weight", (design.config["s2mel"]["DiT"]["content_codebook_size"], width), "noise"
    yield from _linear("cond_projection", sizes.content_width, width)
    for name, out in (("t_embedder", width), ("t_embedder2", wide)):
        yield f"{name}.freqs", (_SINES,), "tenth"
        yield from _linear(f"{name}.mlp.0", 2 * _SINES, out)
        yield from _linear(f"{name}.mlp.2", out, out)
    yield from _linear("conv1", width, wide)
    yield from _linear("conv2", wide, mels, 1)
    for layer in range(sizes.wavenet_layers):
        yield from _weight_norm(f"wavenet.in_layers.{layer}.conv.conv", (2 * wide, wide, sizes.wavenet_kernel))
        out = wide if layer == sizes.wavenet_layers - 1 else 2 * wide
        yield from _weight_norm(f"wavenet.res_skip_layers.{layer}.conv.conv", (out, wide, 1))
    yield from _weight_norm("wavenet.cond_layer.conv.conv", (2 * wide * sizes.wavenet_layers, wide, 1))
    yield from _weight_norm("final_layer.linear", (wide, wide))
    yield from _linear("final_layer.adaLN_modulation.1", width, 2 * wide)
    yield from _linear("res_projection", width, wide)
    yield "content_mask_embedder.weight", (1, width), "noise"
    yield from _linear("skip_linear", width + mels, width)
    yield from _linear("cond_x_merge_linear", width + 2 * mels + sizes.style_width, width)


def _timed_norm(name: str, width: int) -> Shapes:
    yield from _linear(f"{name}.project_layer", width, 2 * width)
    yield f"{name}.norm.weight", (width,), "ones"


def _generator(design: Design) -> Shapes:
    sizes = design.sizes.vocoder
    width = sizes.width
    yield from _weight_norm("conv_pre", (width, design.sizes.mel.mels, _EDGE_KERNEL))
    for stage, kernel in enumerate(sizes.kernels):
        yield from _weight_norm(f"ups.{stage}.0", (width, width // 2, kernel), width // 2)
        width //= 2
        for one, (length, dilations) in enumerate(zip(sizes.block_kernels, sizes.block_dilations, strict=True)):
            name = f"resblocks.{stage * len(sizes.block_kernels) + one}"
            for step in range(len(dilations)):
                for convs in ("convs1", "convs2"):
                    yield from _weight_norm(f"{name}.{convs}.{step}", (width, width, length))
            for step in range(2 * len(dilations)):
                yield from _activation(f"{name}.activations.{step}", width)
    yield from _activation("activation_post", width)
    yield "conv_post.weight_v", (1, width, _EDGE_KERNEL), "noise"
    yield "conv_post.weight_g", (1, 1, 1), "tenth"
    if sizes.bias:
        yield "conv_post.bias", (1,), "zeros"


def _activation(name: str, width: int) -> Shapes:
    yield f"{name}.act.alpha", (width,), "zeros"
    yield f"{name}.act.beta", (width,), "zeros"
    yield f"{name}.upsample.filter", (1, 1, _FILTER_TAPS), "tenth"
    yield f"{name}.downsample.lowpass.filter", (1, 1, _FILTER_TAPS), "tenth"
