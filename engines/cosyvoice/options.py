"""What may be said of kind `cosyvoice` in engines.yaml. Knows nothing about models, and loads none."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engines.contract import Options

#: what the listener cannot hear: everything else is part of a clip's key
_UNHEARD = frozenset({"bundle", "threads"})


class CosyVoiceOptions(Options):
    """Options of kind `cosyvoice` in engines.yaml."""

    bundle: Annotated[str, Field(min_length=1, description="name of the folder under `models/` in `data_dir`")] = (
        "cosyvoice"
    )
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="cores that the worker computes on; `auto`: all that it may use, or `OMP_NUM_THREADS`"
    )
    steps: Annotated[
        int, Field(ge=1, le=100, description="of the flow's solver; fewer are quicker, and heard as noise")
    ] = 10
    vocoder: Literal["hift", "griffin_lim"] = Field(
        "hift", description="`griffin_lim`: no network, metallic; for machines that have no time for better"
    )

    unfinished: Literal["fail", "keep"] = Field(
        "fail",
        description="a part of a text in which the model finds no end: `fail` ends in an error, so that no cut speech "
        "passes for a whole one; `keep` speaks what there is, as the release does",
    )

    def heard(self) -> str:
        """All that changes what is heard, as part of the engine's version."""
        return self.model_dump_json(exclude=set(_UNHEARD))
