"""Where IndexTTS-2 is published, and how `voxgate models` makes the bundle of it that this engine reads.

Loads nothing: what exports and verifies is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from engines.contract import Check, HubFile, HubSource, ModelRecipe, Options, Progress

NAME = "indextts2"
#: counts up when a graph's inputs, a table or a file's name changes its meaning
FORMAT = 2
LICENCE = "bilibili Model Use License"
LICENCE_URL = "https://github.com/index-tts/index-tts/blob/main/LICENSE"


class ExportOptions(Options):
    """What the export may be told."""

    precision: Annotated[
        Literal["fp32", "int8", "int8_blocks", "int4"],
        Field(
            description="weights of GPT and estimator; int8_blocks: the GPT's in a form that is quicker without AMX; "
            "int4: those of the GPT's single steps in 4 bit; the rest as int8"
        ),
    ] = "int8"
    reference: Annotated[
        bool, Field(description="the networks that only `voxgate voices add` needs: 3 GB, and 2.5 GB less to fetch")
    ] = True


def export(source: Path, folder: Path, options: ExportOptions, progress: Progress) -> object:
    """Make the bundle. Raises ValueError that says what to do."""
    from engines.indextts.export import export

    return export(source, folder, options, progress)


def verify(folder: Path, source: Path | None, progress: Progress) -> Sequence[Check]:
    """Look at the bundle, and at the release that it was made of where that is given."""
    from engines.indextts.verify import verify

    return verify(folder, source, progress)


_OWN = (
    *map(HubFile, ("config.yaml", "gpt.pth", "s2mel.pth", "bpe.model", "feat1.pt", "feat2.pt")),
    HubFile("wav2vec2bert_stats.pt", only_for="reference"),
    HubFile("qwen0.6bemo4-merge/*", optional=True),
    HubFile("hf_cache/*", optional=True),  # a mirror may keep the other repositories' files in this one
)
_SOURCES = (
    HubSource(_OWN, "IndexTeam/IndexTTS-2", "IndexTeam/IndexTTS-2"),
    HubSource(
        tuple(
            HubFile(one, "hf_cache/w2v-bert-2.0/", only_for="reference")
            for one in ("config.json", "preprocessor_config.json", "model.safetensors")
        ),
        "facebook/w2v-bert-2.0",
        "facebook/w2v-bert-2.0",
        "MIT",
    ),
    HubSource(
        (HubFile("semantic_codec/model.safetensors", "hf_cache/semantic_codec_model.safetensors"),),
        "amphion/MaskGCT",
        "amphion/MaskGCT",
        "CC-BY-NC-4.0",
    ),
    HubSource(
        (HubFile("campplus_cn_common.bin", "hf_cache/campplus_cn_common.bin", only_for="reference"),),
        "funasr/campplus",
        "iic/speech_campplus_sv_zh-cn_16k-common",
        "Apache-2.0",
    ),
    HubSource(
        tuple(HubFile(one, "hf_cache/bigvgan/") for one in ("config.json", "bigvgan_generator.pt")),
        "nvidia/bigvgan_v2_22khz_80band_256x",
        "nv-community/bigvgan_v2_22khz_80band_256x",
        "MIT",
    ),
)
RECIPE = ModelRecipe(
    name=NAME,
    summary="IndexTTS-2: speech in any voice of which there is a recording, with emotions, in Mandarin and English",
    licence=LICENCE,
    licence_url=LICENCE_URL,
    sources=_SOURCES,
    export=export,
    verify=verify,
    options=ExportOptions,
    packages=("numpy", "onnx", "onnxruntime", "safetensors"),
    extra="indextts",
    bundle_bytes=5_000_000_000,
    format=FORMAT,
)
