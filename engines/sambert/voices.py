"""The voices that Model Studio publishes, as data, from voices.json. Knows nothing about how one is made to speak.

Sambert's are those of https://help.aliyun.com/zh/model-studio/sambert-python-sdk, read 2026-10: each is a model of its
own. Of CosyVoice's (https://help.aliyun.com/zh/model-studio/cosyvoice-voice-list) the file has those for adults whose
language and gender are stated; others are named in engines.yaml.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from engines.contract import Gender, Voice

TABLE = Path(__file__).with_name("voices.json")
LICENCE = "terms of Alibaba Cloud Model Studio"


@dataclass(frozen=True, slots=True)
class CloudVoice:
    """A row of voices.json, or one that engines.yaml names. `sample_rate` (Hz) is what the voice was recorded for: the
    service resamples to whatever is asked, and gains nothing above it; 0: not published."""

    id: str
    languages: tuple[str, ...]
    gender: Gender = ""
    sample_rate: int = 0
    timestamps: bool = True  # tells when each word is said

    def listed(self, sample_rate: int) -> Voice:
        """As `EngineInfo.voices` shows it, heard at that rate."""
        return Voice(self.id, self.languages, sample_rate, self.gender, licence=LICENCE)


def published(family: str) -> tuple[CloudVoice, ...]:
    """The voices of `sambert` or of a CosyVoice model; the first of a language and gender is its default.

    None for a model that has only voices that were cloned for it, or is not known here.
    """
    rows = json.loads(TABLE.read_text(encoding="utf-8")).get(family, ())
    return tuple(CloudVoice(**{**row, "languages": tuple(row["languages"])}) for row in rows)
