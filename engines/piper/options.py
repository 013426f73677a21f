"""What may be said of kind `piper` in engines.yaml. Knows nothing about voices, and loads none."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engines.contract import Options

#: what of the options the listener cannot hear: everything else is part of a clip's key
_UNHEARD = frozenset({"folder", "threads", "memory_mb", "voice_idle_s"})


class PiperOptions(Options):
    """Options of kind `piper` in engines.yaml."""

    folder: Annotated[
        str, Field(min_length=1, description="of the voices: a name under `models` in `data_dir`, or a path")
    ] = "piper"
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="cores that one sentence is computed on; `auto`: all that it may use, or `OMP_NUM_THREADS`"
    )
    memory_mb: Annotated[int, Field(ge=1, description="for loaded voices; who spoke longest ago makes room")] = 512
    voice_idle_s: Annotated[float, Field(gt=0, description="a voice that was not asked for so long is unloaded")] = (
        600.0
    )
    noise: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="how lively the voice is; the voice's own when not given"
    )
    noise_w: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="how uneven the lengths of sounds are; the voice's own when not given"
    )
    length: Annotated[float, Field(gt=0, le=5)] | None = Field(
        None, description="of sounds at speed 1, 2.0 being twice as slow; the voice's own when not given"
    )
    loudness_dbfs: Annotated[
        float, Field(ge=-40, le=-12, description="of speech, as root mean square; the same for all voices")
    ] = -20.0

    def heard(self) -> str:
        """All that changes what is heard, as part of the engine's version."""
        return self.model_dump_json(exclude=set(_UNHEARD))
