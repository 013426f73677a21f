"""The sizes of a made-up model, as a release's configuration says them. Knows nothing about tensors."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from engines.indextts.sizes import Sizes

#: the values that IndexTTS-2 is published with
_CONFIG: dict[str, Any] = {
    "dataset": {"bpe_model": "bpe.model", "sample_rate": 24000},
    "gpt": {
        "model_dim": 1280,
        "max_mel_tokens": 1815,
        "max_text_tokens": 600,
        "heads": 20,
        "layers": 24,
        "number_text_tokens": 12000,
        "number_mel_codes": 8194,
        "start_mel_token": 8192,
        "stop_mel_token": 8193,
        "start_text_token": 0,
        "stop_text_token": 1,
        "condition_type": "conformer_perceiver",
        "condition_module": {
            "output_size": 512,
            "linear_units": 2048,
            "attention_heads": 8,
            "num_blocks": 6,
            "input_layer": "conv2d2",
            "perceiver_mult": 2,
        },
        "emo_condition_module": {
            "output_size": 512,
            "linear_units": 1024,
            "attention_heads": 4,
            "num_blocks": 4,
            "input_layer": "conv2d2",
            "perceiver_mult": 2,
        },
    },
    "semantic_codec": {
        "codebook_size": 8192,
        "hidden_size": 1024,
        "codebook_dim": 8,
        "vocos_dim": 384,
        "vocos_intermediate_dim": 2048,
        "vocos_num_layers": 12,
    },
    "s2mel": {
        "preprocess_params": {
            "sr": 22050,
            "spect_params": {
                "n_fft": 1024,
                "win_length": 1024,
                "hop_length": 256,
                "n_mels": 80,
                "fmin": 0,
                "fmax": "None",
            },
        },
        "style_encoder": {"dim": 192},
        "length_regulator": {
            "channels": 512,
            "is_discrete": False,
            "in_channels": 1024,
            "content_codebook_size": 2048,
            "sampling_ratios": [1, 1, 1, 1],
        },
        "DiT": {
            "hidden_dim": 512,
            "num_heads": 8,
            "depth": 13,
            "in_channels": 80,
            "content_dim": 512,
            "content_codebook_size": 1024,
            "final_layer_type": "wavenet",
            "is_causal": False,
            "long_skip_connection": True,
            "time_as_token": False,
            "style_as_token": False,
            "uvit_skip_connection": True,
        },
        "wavenet": {"hidden_dim": 512, "num_layers": 8, "kernel_size": 5, "dilation_rate": 1},
    },
    "gpt_checkpoint": "gpt.pth",
    "s2mel_checkpoint": "s2mel.pth",
    "w2v_stat": "wav2vec2bert_stats.pt",
    "emo_matrix": "feat2.pt",
    "spk_matrix": "feat1.pt",
    "emo_num": [3, 17, 2, 8, 4, 5, 10, 24],
    "version": 2.0,
}
_VOCODER: dict[str, Any] = {
    "resblock": "1",
    "upsample_rates": [4, 4, 2, 2, 2, 2],
    "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
    "upsample_initial_channel": 1536,
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]],
    "use_tanh_at_final": False,
    "use_bias_at_final": False,
    "activation": "snakebeta",
    "snake_logscale": True,
    "num_mels": 80,
}
_W2V_BERT: dict[str, Any] = {
    "model_type": "wav2vec2-bert",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "feature_projection_input_dim": 160,
    "conv_depthwise_kernel_size": 31,
    "left_max_position_embeddings": 64,
    "right_max_position_embeddings": 8,
    "position_embeddings_type": "relative_key",
    "layer_norm_eps": 1e-5,
    "hidden_act": "swish",
    "add_adapter": False,
}
PREPROCESSOR: dict[str, Any] = {
    "feature_extractor_type": "SeamlessM4TFeatureExtractor",
    "feature_size": 80,
    "num_mel_bins": 80,
    "padding_side": "right",
    "padding_value": 0.0,
    "return_attention_mask": True,
    "sampling_rate": 16000,
    "stride": 2,
}


@dataclass(frozen=True)
class Design:
    """A model's configuration, and what no configuration says because the tensors' shapes do."""

    config: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(_CONFIG))
    vocoder: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(_VOCODER))
    w2v_bert: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(_W2V_BERT))
    speaker_rows: int = 32
    perceiver_head_width: int = 64
    gpt_layer_widths: tuple[int, ...] = (256, 128)
    style_channels: int = 128
    style_growth: int = 32
    style_squeeze: int = 4
    style_head_channels: int = 32

    @property
    def sizes(self) -> Sizes:
        return Sizes.of_release(self.config, self.vocoder)


def small() -> Design:
    """A model that is quick to make, with widths, depths and heads that have little to do with one another."""
    made = Design(
        speaker_rows=8,
        perceiver_head_width=16,
        gpt_layer_widths=(20,),
        style_channels=8,
        style_growth=4,
        style_squeeze=2,
        style_head_channels=8,
    )
    gpt, s2mel = made.config["gpt"], made.config["s2mel"]
    gpt |= {"model_dim": 48, "heads": 3, "layers": 3, "max_mel_tokens": 60, "max_text_tokens": 30}
    gpt |= {"number_text_tokens": 90, "number_mel_codes": 74, "start_mel_token": 72, "stop_mel_token": 73}
    gpt["condition_module"] |= {"output_size": 24, "linear_units": 40, "attention_heads": 3, "num_blocks": 1}
    gpt["emo_condition_module"] |= {"output_size": 16, "linear_units": 24, "attention_heads": 2, "num_blocks": 3}
    made.config["semantic_codec"] |= {"codebook_size": 72, "hidden_size": 64, "codebook_dim": 6}
    made.config["semantic_codec"] |= {"vocos_dim": 18, "vocos_intermediate_dim": 30, "vocos_num_layers": 1}
    s2mel["length_regulator"] |= {"channels": 40, "in_channels": 64, "content_codebook_size": 16}
    s2mel["length_regulator"]["sampling_ratios"] = [1, 1]
    s2mel["DiT"] |= {"hidden_dim": 32, "num_heads": 2, "depth": 3, "content_dim": 40, "content_codebook_size": 16}
    s2mel["wavenet"] |= {"hidden_dim": 32, "num_layers": 2, "kernel_size": 3}
    made.config["emo_num"] = [1, 2, 3, 1, 1, 2, 1, 1]
    made.vocoder.update({"upsample_initial_channel": 64, "resblock_kernel_sizes": [3, 5]})
    made.vocoder.update({"resblock_dilation_sizes": [[1, 2, 3], [1, 3, 4]], "use_bias_at_final": True})
    made.w2v_bert.update(
        {"hidden_size": 64, "intermediate_size": 50, "num_attention_heads": 4, "num_hidden_layers": 19}
    )
    made.w2v_bert.update({"conv_depthwise_kernel_size": 7, "left_max_position_embeddings": 5})
    return made
