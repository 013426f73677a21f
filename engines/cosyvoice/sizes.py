"""The sizes of a CosyVoice-300M model: read from the release's configuration, kept in a bundle's manifest.

Every width, depth and rate that a graph or the runtime needs comes from here or from a tensor's own shape, so that a
model of other sizes works unchanged. Knows nothing about tensors, graphs or files but the configuration's names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from engines.cosyvoice.configuration import TAG


@dataclass(frozen=True, slots=True)
class EncoderSizes:
    """A stack of self-attention layers with relative positions: of texts, of the language model, of the flow."""

    input_width: int
    width: int
    heads: int
    linear_width: int
    layers: int

    @property
    def head_width(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class RasSizes:
    """Repetition-aware sampling (`ras`)."""

    top_p: float
    top_k: int
    window: int  # tokens back in which a repetition counts
    repetitions: float  # share of the window that a token must have to be drawn again


@dataclass(frozen=True, slots=True)
class LmSizes:
    """The language model: text and speaker in, speech tokens out."""

    text_tokens: int
    speech_tokens: int
    speaker_width: int
    text_encoder: EncoderSizes
    decoder: EncoderSizes
    ras: RasSizes

    @property
    def end(self) -> int:
        """The id, one behind the speech tokens, that ends a sequence."""
        return self.speech_tokens


@dataclass(frozen=True, slots=True)
class EstimatorSizes:
    """The flow's estimator: a U-Net over mel frames."""

    inputs: int  # channels: the noisy mel, what it is to become, the speaker, the prompt
    outputs: int
    widths: tuple[int, ...]  # channels of each level, down; and back up
    blocks: int  # transformer blocks of each stage
    middles: int  # stages at the bottom
    heads: int
    head_width: int


@dataclass(frozen=True, slots=True)
class FlowSizes:
    """The flow matching: speech tokens in, mel frames out."""

    speech_tokens: int
    speaker_width: int
    mels: int
    token_rate_hz: int
    encoder: EncoderSizes
    regulator_width: int
    regulator_layers: int  # convolutions of kernel 3
    guidance: float  # how far away from what it would do without a text (classifier-free guidance)
    estimator: EstimatorSizes


@dataclass(frozen=True, slots=True)
class VocoderSizes:
    """HiFT: mel frames in, samples out, by way of a pitch and of short spectra."""

    sample_rate: int  # Hz
    mels: int
    width: int  # channels before the first upsampling; each halves them
    rates: tuple[int, ...]
    kernels: tuple[int, ...]
    block_kernels: tuple[int, ...]
    block_dilations: tuple[tuple[int, ...], ...]
    source_kernels: tuple[int, ...]
    source_dilations: tuple[tuple[int, ...], ...]
    slope: float  # of the leaky rectifiers
    fft: int  # samples
    hop: int  # samples
    limit: float  # loudest sample
    overtones: int  # of the source, beside its ground note
    source_loudness: float
    source_noise: float
    voiced_above_hz: float
    pitch_width: int  # channels of the network that finds the pitch

    @property
    def frame_samples(self) -> int:
        """Samples that a mel frame stands for."""
        return math.prod(self.rates) * self.hop


@dataclass(frozen=True, slots=True)
class Sizes:
    """A whole model."""

    lm: LmSizes
    flow: FlowSizes
    vocoder: VocoderSizes

    @classmethod
    def of_release(cls, config: Mapping[str, Any]) -> Self:
        """From the release's cosyvoice.yaml, as `read_configuration` gives it. Raises ValueError that names what is
        missing or of another design than this code knows."""
        try:
            return cls(_lm(config["llm"]), _flow(config["flow"]), _vocoder(config["hift"]))
        except KeyError as error:
            raise ValueError(f"the model's configuration lacks {error}") from None
        except (TypeError, AttributeError) as error:
            raise ValueError(f"the model's configuration is of another design than is known here ({error})") from None

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers."""
        return asdict(self)

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Self:
        """What `to_json` gave, read from JSON or not. Raises KeyError or TypeError when it is something else."""
        lm, flow, vocoder = ({name: _frozen(one) for name, one in kept[part].items()} for part in cls.__slots__)
        return cls(
            LmSizes(
                **{
                    **lm,
                    "text_encoder": EncoderSizes(**lm["text_encoder"]),
                    "decoder": EncoderSizes(**lm["decoder"]),
                    "ras": RasSizes(**lm["ras"]),
                }
            ),
            FlowSizes(
                **{
                    **flow,
                    "encoder": EncoderSizes(**flow["encoder"]),
                    "estimator": EstimatorSizes(**{name: _frozen(one) for name, one in flow["estimator"].items()}),
                }
            ),
            VocoderSizes(**vocoder),
        )


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list | tuple) else value


def _lm(config: Mapping[str, Any]) -> LmSizes:
    _expect_class(config, "TransformerLM")
    _expect_class(config["text_encoder"], "ConformerEncoder")
    _expect_class(config["llm"], "TransformerEncoder")
    _expect(config["text_encoder"], "static_chunk_size", 1)
    _expect(config["llm"], "static_chunk_size", 1)
    sampling = config["sampling"]
    return LmSizes(
        text_tokens=config["text_token_size"],
        speech_tokens=config["speech_token_size"],
        speaker_width=config["spk_embed_dim"],
        text_encoder=_encoder(config["text_encoder"], "linear"),
        decoder=_encoder(config["llm"], "linear_legacy"),
        ras=RasSizes(sampling["top_p"], sampling["top_k"], sampling["win_size"], sampling["tau_r"]),
    )


def _encoder(config: Mapping[str, Any], input_layer: str) -> EncoderSizes:
    _expect(config, "input_layer", input_layer)
    _expect(config, "pos_enc_layer_type", "rel_pos_espnet")
    _expect(config, "selfattention_layer_type", "rel_selfattn")
    for name in ("use_cnn_module", "macaron_style"):
        _expect({name: config.get(name, False)}, name, False)
    sizes = EncoderSizes(
        input_width=config["input_size"],
        width=config["output_size"],
        heads=config["attention_heads"],
        linear_width=config["linear_units"],
        layers=config["num_blocks"],
    )
    if sizes.width % sizes.heads:
        raise ValueError(f"a width of {sizes.width} cannot be shared among {sizes.heads} heads")
    return sizes


def _flow(config: Mapping[str, Any]) -> FlowSizes:
    _expect_class(config, "MaskedDiffWithXvec")
    _expect_class(config["encoder"], "ConformerEncoder")
    decoder = config["decoder"]
    _expect_class(decoder, "ConditionalCFM")
    matching = decoder["cfm_params"]["content"]
    _expect(matching, "solver", "euler")
    _expect(matching, "t_scheduler", "cosine")
    _expect_class(config["length_regulator"], "InterpolateRegulator")
    return FlowSizes(
        speech_tokens=config["vocab_size"],
        speaker_width=config["spk_embed_dim"],
        mels=config["output_size"],
        token_rate_hz=config["input_frame_rate"],
        encoder=_encoder(config["encoder"], "linear"),
        regulator_width=config["length_regulator"]["channels"],
        regulator_layers=len(config["length_regulator"]["sampling_ratios"]),
        guidance=matching["inference_cfg_rate"],
        estimator=_estimator(decoder["estimator"]),
    )


def _estimator(config: Mapping[str, Any]) -> EstimatorSizes:
    _expect_class(config, "ConditionalDecoder")
    _expect(config, "act_fn", "gelu")
    return EstimatorSizes(
        inputs=config["in_channels"],
        outputs=config["out_channels"],
        widths=_frozen(config["channels"]),
        blocks=config["n_blocks"],
        middles=config["num_mid_blocks"],
        heads=config["num_heads"],
        head_width=config["attention_head_dim"],
    )


def _vocoder(config: Mapping[str, Any]) -> VocoderSizes:
    _expect_class(config, "HiFTGenerator")
    _expect_class(config["f0_predictor"], "ConvRNNF0Predictor")
    return VocoderSizes(
        sample_rate=config["sampling_rate"],
        mels=config["in_channels"],
        width=config["base_channels"],
        rates=_frozen(config["upsample_rates"]),
        kernels=_frozen(config["upsample_kernel_sizes"]),
        block_kernels=_frozen(config["resblock_kernel_sizes"]),
        block_dilations=_frozen(config["resblock_dilation_sizes"]),
        source_kernels=_frozen(config["source_resblock_kernel_sizes"]),
        source_dilations=_frozen(config["source_resblock_dilation_sizes"]),
        slope=config["lrelu_slope"],
        fft=config["istft_params"]["n_fft"],
        hop=config["istft_params"]["hop_len"],
        limit=config["audio_limit"],
        overtones=config["nb_harmonics"],
        source_loudness=config["nsf_alpha"],
        source_noise=config["nsf_sigma"],
        voiced_above_hz=config["nsf_voiced_threshold"],
        pitch_width=config["f0_predictor"]["cond_channels"],
    )


def _expect_class(config: Mapping[str, Any], name: str) -> None:
    """Refuse a part that is made of another class: its tensors may have the same names and mean something else."""
    tag = str(config.get(TAG, ""))
    if tag.rpartition(".")[2] != name:
        raise ValueError(f"the model's configuration has {tag or 'no class'} where only {name} is known here")


def _expect(config: Mapping[str, Any], name: str, value: object) -> None:
    if config[name] != value:
        raise ValueError(f"the model's configuration says {name}: {config[name]}; only {value} is known here")
