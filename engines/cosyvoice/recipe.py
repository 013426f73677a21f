"""What a bundle of CosyVoice-300M-SFT is called, what it may be told, and under which licence its weights are.

Loads nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engines.contract import Options

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
