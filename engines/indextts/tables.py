"""The arrays beside the graphs: embeddings, and linear maps that are folded into tables once and for all.

Knows what each array is made of in a release and where it lies in a bundle; knows nothing about who uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from engines.indextts.layout import Release
from models.checkpoint import CheckpointError, Tensors

NAME = "tables.safetensors"
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tables:
    """float32; D is the model's width, C that of semantic features. Memory-mapped when read from a bundle."""

    text_embedding: Array  # [text tokens + 1, D]
    mel_embedding: Array  # [codes, D]
    text_position: Array  # [longest text, D]
    mel_position: Array  # [longest speech, D]
    speed_embedding: Array  # [2, D]
    semantic_table: Array  # [codebook, C]: what a code stands for
    latent_weight: Array  # [C, D]: latents @ latent_weight.T + latent_bias are semantic features
    latent_bias: Array  # [C]
    emotion_speakers: Array  # [emotions' rows, style]: whose row of `emotion_vectors` it is
    emotion_vectors: Array  # [emotions' rows, D]

    @classmethod
    def of_release(cls, release: Release) -> Self:
        """Take the tables out of a release. Raises CheckpointError."""
        sizes, gpt = release.sizes, release.tensors("gpt")
        width, rows = sizes.gpt.width, sum(sizes.emotion_rows)
        weight, bias = _folded(release.tensors("gpt_layer"), width)
        # One row more than tokens, two and three more than the longest text and speech: for start and stop.
        return cls(
            text_embedding=gpt.take("text_embedding.weight", (sizes.gpt.text_tokens + 1, width)),
            mel_embedding=gpt.take("mel_embedding.weight", (sizes.gpt.codes, width)),
            text_position=gpt.take("text_pos_embedding.emb.weight", (sizes.gpt.max_text_tokens + 2, width)),
            mel_position=gpt.take("mel_pos_embedding.emb.weight", (sizes.gpt.max_codes + 3, width)),
            speed_embedding=gpt.take("speed_emb.weight", (2, width)),
            semantic_table=_semantic_table(release),
            latent_weight=weight,
            latent_bias=bias,
            emotion_speakers=release.tensors("emotion_speakers").take("", (rows, sizes.estimator.style_width)),
            emotion_vectors=release.tensors("emotion_vectors").take("", (rows, width)),
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Map the tables of a bundle into memory. Raises CheckpointError."""
        tensors = Tensors.read(folder / NAME)
        tables = cls(**{one.name: tensors.take(one.name) for one in fields(cls)})
        tensors.finish()
        return tables

    def write(self, folder: Path) -> None:
        """As `read` reads it."""
        from safetensors.numpy import save

        # not its `save_file`, which lets nobody but the owner read what it writes
        (folder / NAME).write_bytes(save({one.name: getattr(self, one.name) for one in fields(self)}))


def _folded(layers: Tensors, width: int) -> tuple[Array, Array]:
    """Linear layers with nothing between them are one: weights and biases multiplied out, in float64."""
    weight, bias = np.eye(width), np.zeros(width)
    for name in _numbered(layers):
        step = layers.take(f"{name}.weight").astype(np.float64)
        if step.shape[1:] != weight.shape[:1]:
            raise CheckpointError(f"layer {name} of gpt_layer does not fit the one before: {step.shape}")
        weight, bias = step @ weight, step @ bias + layers.take(f"{name}.bias", step.shape[:1])
    return weight.astype(np.float32), bias.astype(np.float32)


def _numbered(layers: Tensors) -> Sequence[str]:
    return sorted({name.split(".")[0] for name in layers.names()}, key=int)


def _semantic_table(release: Release) -> Array:
    """Every row of the codebook, sent through the quantiser's projection back to the features' width."""
    codec, quantiser = release.sizes.codec, release.tensors("semantic_codec").scope("quantizer.quantizers.0.")
    codebook = quantiser.take("codebook.weight", (codec.codebook, codec.code_width)).astype(np.float64)
    weight = quantiser.take_weight_norm("out_project", (codec.width, codec.code_width, 1))[:, :, 0]
    return (codebook @ weight.T + quantiser.take("out_project.bias", (codec.width,))).astype(np.float32)
