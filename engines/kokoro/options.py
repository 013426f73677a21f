"""What may be said of kind `kokoro` in engines.yaml. Knows nothing about models, and loads none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator

from engines.contract import Options
from engines.kokoro.mixing import parse_mix

#: what the listener cannot hear: everything else is part of a clip's key
_UNHEARD = frozenset({"bundle", "model", "voices", "vocabulary", "threads", "provider"})


class KokoroOptions(Options):
    """Options of kind `kokoro` in engines.yaml. Paths that are not absolute begin in the bundle's folder."""

    bundle: Annotated[str, Field(min_length=1, description="name of the folder under `models/` in `data_dir`")] = (
        "kokoro"
    )
    model: str = Field("", description="the ONNX file; empty: the one `.onnx` in the folder")
    voices: str = Field(
        "", description="the voices: an archive such as `voices-v1.0.bin`, or a folder of `.bin`; empty: what is there"
    )
    vocabulary: str = Field("", description="the phonemes' numbers: empty: `tokenizer.json` or `config.json`")
    mixes: Mapping[str, str] = Field(
        default_factory=dict, description="voices of your own: name -> mix, such as `zf_xiaobei(2)+zf_xiaoxiao(1)`"
    )
    threads: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="cores that the worker computes on; `auto`: all that it may use, or `OMP_NUM_THREADS`"
    )
    provider: Literal["cpu", "cuda"] = Field("cpu", description="`cuda` needs onnxruntime-gpu in place of onnxruntime")
    gain_db: Annotated[
        float, Field(ge=-20, le=20, description="added to all that is spoken; above the full scale it is cut off")
    ] = 0.0

    @field_validator("mixes")
    @classmethod
    def _must_be_mixes(cls, mixes: Mapping[str, str]) -> Mapping[str, str]:
        for mix in mixes.values():
            parse_mix(mix)
        return mixes

    def heard(self) -> str:
        """All that changes what is heard, as part of the engine's version."""
        return self.model_dump_json(exclude=set(_UNHEARD))
