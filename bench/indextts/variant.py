"""What is measured, and how much of it. Knows nothing about how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engines.indextts.options import IndexTtsOptions
from models.graph import Precision

Kept = Literal["fp32", "int8"]
Provider = Literal["onnxruntime", "openvino"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the model."""

    precision: Precision
    kv: Kept = "fp32"
    provider: Provider = "onnxruntime"
    threads: int | None = None  # None: as the engine does

    def __str__(self) -> str:
        return f"{self.precision}, kv {self.kv}, {self.provider}"

    def options(self, **more: object) -> IndexTtsOptions:
        """As engines.yaml would say it."""
        given = {"kv": self.kv, "provider": self.provider, "threads": self.threads or "auto", **more}
        return IndexTtsOptions.model_validate(given)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured. Random weights do not stop by themselves, so numbers of codes are given: 50 to a second."""

    rounds: int  # of quick stages; long ones get a part of them
    stage_codes: int  # that the stages behind the decoder work on
    depths: tuple[int, ...]  # positions that are filled when one step of decoding is measured
    sentence_codes: int  # of `text`
    repeats: int  # of whole sentences
    at_once: int = 4
    text: str = "我们明天早上八点在学校门口见面一起去吃饭。"  # 20 characters, in one segment


FULL = Extent(rounds=20, stage_codes=500, depths=(200, 600), sentence_codes=250, repeats=3)
QUICK = Extent(rounds=6, stage_codes=250, depths=(200,), sentence_codes=125, repeats=1)
#: for models of a few MB, to see that everything works
TINY = Extent(rounds=1, stage_codes=20, depths=(10,), sentence_codes=12, repeats=1, at_once=2, text="Go on.")
