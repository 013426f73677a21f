"""The sizes of an IndexTTS-2 model: read from the release's configuration, kept in a bundle's manifest.

Every width, depth and rate that a graph or the runtime needs comes from here or from a tensor's own shape, so that a
model of other sizes works unchanged. Knows nothing about tensors, graphs or files but the configuration's names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from models.attention import kept_width


@dataclass(frozen=True, slots=True)
class GptSizes:
    """The autoregressive model: text and voice in, semantic codes out."""

    width: int
    layers: int
    heads: int
    text_tokens: int  # without the one row that the table has more
    codes: int  # semantic codes, start and stop among them
    start_text: int
    stop_text: int
    start_code: int
    stop_code: int
    max_codes: int
    max_text_tokens: int

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @property
    def kept_width(self) -> int:
        """Of a head's keys and values in a cache."""
        return kept_width(self.head_width)


@dataclass(frozen=True, slots=True)
class ConditionerSizes:
    """A conformer and a perceiver that sum up a reference recording."""

    width: int
    linear_width: int
    heads: int
    layers: int
    perceiver_mult: int


@dataclass(frozen=True, slots=True)
class CodecSizes:
    """The semantic codec (RepCodec) of MaskGCT."""

    codebook: int
    width: int  # of the features, and so of the table of codes
    code_width: int
    vocos_width: int
    vocos_linear_width: int
    vocos_layers: int


@dataclass(frozen=True, slots=True)
class RegulatorSizes:
    """The length regulator: from codes' rate to mel frames' rate."""

    width: int
    input_width: int
    layers: int  # convolutions of kernel 3


@dataclass(frozen=True, slots=True)
class EstimatorSizes:
    """The flow-matching estimator: a diffusion transformer with a WaveNet behind it."""

    width: int
    heads: int
    layers: int
    content_width: int
    mels: int
    wavenet_width: int
    wavenet_layers: int
    wavenet_kernel: int
    wavenet_dilation_rate: int
    style_width: int

    @property
    def head_width(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class MelSizes:
    """The mel spectrogram between estimator and vocoder, and of the reference recording."""

    sample_rate: int  # Hz
    fft: int  # samples
    window: int  # samples
    hop: int  # samples
    mels: int
    lowest_hz: float


@dataclass(frozen=True, slots=True)
class VocoderSizes:
    """BigVGAN."""

    width: int  # channels before the first upsampling; each halves them
    rates: tuple[int, ...]
    kernels: tuple[int, ...]
    block_kernels: tuple[int, ...]
    block_dilations: tuple[tuple[int, ...], ...]
    log_scale: bool  # the snake's parameters are kept as logarithms
    tanh: bool  # at the end; else the wave is clamped
    bias: bool  # at the end


@dataclass(frozen=True, slots=True)
class Sizes:
    """A whole model."""

    version: str
    gpt: GptSizes
    speaker: ConditionerSizes
    emotion: ConditionerSizes
    codec: CodecSizes
    regulator: RegulatorSizes
    estimator: EstimatorSizes
    mel: MelSizes
    vocoder: VocoderSizes
    emotion_rows: tuple[int, ...]  # rows of the emotion tables that belong to each of the emotions

    @classmethod
    def of_release(cls, config: Mapping[str, Any], vocoder: Mapping[str, Any]) -> Self:
        """From the release's config.yaml and the vocoder's config.json. Raises ValueError that names what is missing or
        of another design than this code knows."""
        try:
            return cls(
                version=str(config["version"]),
                gpt=_gpt(config["gpt"]),
                speaker=_conditioner(config["gpt"]["condition_module"]),
                emotion=_conditioner(config["gpt"]["emo_condition_module"]),
                codec=_codec(config["semantic_codec"]),
                regulator=_regulator(config["s2mel"]["length_regulator"]),
                estimator=_estimator(config["s2mel"]),
                mel=_mel(config["s2mel"]["preprocess_params"]),
                vocoder=_vocoder(vocoder),
                emotion_rows=tuple(config["emo_num"]),
            )
        except KeyError as error:
            raise ValueError(f"the model's configuration lacks {error}") from None

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers."""
        return asdict(self)

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Self:
        """What `to_json` gave. Raises KeyError or TypeError when it is something else."""
        parts = {one.name: kept[one.name] for one in fields(cls)}
        vocoder = {name: _frozen(value) for name, value in parts["vocoder"].items()}
        return cls(
            version=parts["version"],
            gpt=GptSizes(**parts["gpt"]),
            speaker=ConditionerSizes(**parts["speaker"]),
            emotion=ConditionerSizes(**parts["emotion"]),
            codec=CodecSizes(**parts["codec"]),
            regulator=RegulatorSizes(**parts["regulator"]),
            estimator=EstimatorSizes(**parts["estimator"]),
            mel=MelSizes(**parts["mel"]),
            vocoder=VocoderSizes(**vocoder),
            emotion_rows=tuple(parts["emotion_rows"]),
        )


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value


def _gpt(config: Mapping[str, Any]) -> GptSizes:
    _expect(config, "condition_type", "conformer_perceiver")
    return GptSizes(
        width=config["model_dim"],
        layers=config["layers"],
        heads=config["heads"],
        text_tokens=config["number_text_tokens"],
        codes=config["number_mel_codes"],
        start_text=config["start_text_token"],
        stop_text=config["stop_text_token"],
        start_code=config["start_mel_token"],
        stop_code=config["stop_mel_token"],
        max_codes=config["max_mel_tokens"],
        max_text_tokens=config["max_text_tokens"],
    )


def _conditioner(config: Mapping[str, Any]) -> ConditionerSizes:
    _expect(config, "input_layer", "conv2d2")
    return ConditionerSizes(
        width=config["output_size"],
        linear_width=config["linear_units"],
        heads=config["attention_heads"],
        layers=config["num_blocks"],
        perceiver_mult=config["perceiver_mult"],
    )


def _codec(config: Mapping[str, Any]) -> CodecSizes:
    return CodecSizes(
        codebook=config["codebook_size"],
        width=config["hidden_size"],
        code_width=config["codebook_dim"],
        vocos_width=config["vocos_dim"],
        vocos_linear_width=config["vocos_intermediate_dim"],
        vocos_layers=config["vocos_num_layers"],
    )


def _regulator(config: Mapping[str, Any]) -> RegulatorSizes:
    _expect(config, "is_discrete", False)
    return RegulatorSizes(
        width=config["channels"], input_width=config["in_channels"], layers=len(config["sampling_ratios"])
    )


def _estimator(config: Mapping[str, Any]) -> EstimatorSizes:
    transformer, wavenet = config["DiT"], config["wavenet"]
    for name, value in (("final_layer_type", "wavenet"), ("long_skip_connection", True), ("is_causal", False)):
        _expect(transformer, name, value)
    for name, value in (("uvit_skip_connection", True), ("time_as_token", False), ("style_as_token", False)):
        _expect(transformer, name, value)
    return EstimatorSizes(
        width=transformer["hidden_dim"],
        heads=transformer["num_heads"],
        layers=transformer["depth"],
        content_width=transformer["content_dim"],
        mels=transformer["in_channels"],
        wavenet_width=wavenet["hidden_dim"],
        wavenet_layers=wavenet["num_layers"],
        wavenet_kernel=wavenet["kernel_size"],
        wavenet_dilation_rate=wavenet["dilation_rate"],
        style_width=config["style_encoder"]["dim"],
    )


def _mel(config: Mapping[str, Any]) -> MelSizes:
    spectrum = config["spect_params"]
    _expect({"fmax": str(spectrum.get("fmax"))}, "fmax", "None")
    return MelSizes(
        sample_rate=config["sr"],
        fft=spectrum["n_fft"],
        window=spectrum["win_length"],
        hop=spectrum["hop_length"],
        mels=spectrum["n_mels"],
        lowest_hz=float(spectrum["fmin"]),
    )


def _vocoder(config: Mapping[str, Any]) -> VocoderSizes:
    _expect(config, "resblock", "1")
    _expect(config, "activation", "snakebeta")
    return VocoderSizes(
        width=config["upsample_initial_channel"],
        rates=_frozen(config["upsample_rates"]),
        kernels=_frozen(config["upsample_kernel_sizes"]),
        block_kernels=_frozen(config["resblock_kernel_sizes"]),
        block_dilations=_frozen(config["resblock_dilation_sizes"]),
        log_scale=config["snake_logscale"],
        tanh=config.get("use_tanh_at_final", True),
        bias=config.get("use_bias_at_final", True),
    )


def _expect(config: Mapping[str, Any], name: str, value: object) -> None:
    if config[name] != value:
        raise ValueError(f"the model's configuration says {name}: {config[name]}; only {value} is known here")
