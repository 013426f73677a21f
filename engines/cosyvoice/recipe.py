"""Where CosyVoice-300M-SFT is published, and how `voxgate models` makes the bundle of it that this engine reads.

Loads nothing: what exports and verifies is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from engines.contract import Check, HubFile, HubSource, ModelRecipe, Options, Progress

NAME = "cosyvoice"
#: counts up when a graph's inputs, a table or a file's name changes its meaning
FORMAT = 1
LICENCE = "Apache-2.0"
#: each speaker's embedding [width], by the speaker's name
SPEAKERS_NAME = "speakers.safetensors"


class ExportOptions(Options):
    """What the export may be told."""

    precision: Annotated[
        Literal["fp32", "int8", "int8_blocks"],
        Field(
            description="weights of the language model and its text encoder; int8_blocks: in a form that is quicker "
            "without AMX"
        ),
    ] = "int8"
    acoustic: Annotated[
        Literal["fp32", "int8"],
        Field(description="weights of the flow's estimator and of the vocoder; fp32 takes twice as long"),
    ] = "int8"


def export(source: Path, folder: Path, options: ExportOptions, progress: Progress) -> object:
    """Make the bundle. Raises ValueError that says what to do."""
    from engines.cosyvoice.export import export

    return export(source, folder, options, progress)


def verify(folder: Path, source: Path | None, progress: Progress) -> Sequence[Check]:
    """Look at the bundle, and let each speaker say a word."""
    from engines.cosyvoice.verify import verify

    return verify(folder, progress)


_FILES = tuple(map(HubFile, ("cosyvoice.yaml", "llm.pt", "flow.pt", "hift.pt", "spk2info.pt")))
RECIPE = ModelRecipe(
    name=NAME,
    summary="CosyVoice-300M-SFT: seven speakers of Mandarin, English, Japanese, Cantonese and Korean",
    licence=LICENCE,
    licence_url="https://github.com/FunAudioLLM/CosyVoice/blob/main/LICENSE",
    sources=(HubSource(_FILES, "FunAudioLLM/CosyVoice-300M-SFT", "iic/CosyVoice-300M-SFT"),),
    export=export,
    verify=verify,
    options=ExportOptions,
    packages=("numpy", "onnx", "onnxruntime", "safetensors", "tiktoken", "wetext"),
    extra="cosyvoice",
    bundle_bytes=1_000_000_000,
    format=FORMAT,
)
