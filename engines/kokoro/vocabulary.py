"""Which number the model knows each phoneme by, and which alphabet that is. Knows nothing about how texts are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: how Mandarin is written for a model: v1.0 takes IPA with arrows for tones, v1.1-zh signs of bopomofo with digits
Alphabet = Literal["ipa", "bopomofo"]
_BOPOMOFO = "ㄅ"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A phoneme is one character."""

    ids: Mapping[str, int]

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """From a release's config.json, or the tokenizer.json of exports for browsers. Raises ValueError, OSError."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON ({error}); fetch it again") from error
        found = told.get("vocab") or told.get("model", {}).get("vocab") if isinstance(told, dict) else None
        if not isinstance(found, dict) or not all(isinstance(one, int) and one >= 0 for one in found.values()):
            raise ValueError(f"{path} has no vocabulary: take config.json of the model's release")
        ids = {symbol: number for symbol, number in found.items() if len(symbol) == 1 and number > 0}
        if not ids:
            raise ValueError(f"{path} has a vocabulary without phonemes: take config.json of the model's release")
        return cls(ids)

    @property
    def alphabet(self) -> Alphabet:
        return "bopomofo" if _BOPOMOFO in self.ids else "ipa"

    def known(self, phonemes: str) -> str:
        """Without the characters that the model has no number for."""
        return "".join(one for one in phonemes if one in self.ids)

    def encode(self, phonemes: str) -> list[int]:
        """The numbers of phonemes, all of which are known."""
        return [self.ids[one] for one in phonemes]
