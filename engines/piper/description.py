"""What the JSON beside a voice's graph says, checked: sample rate, speakers, how a text becomes ids.

The format is Piper's (https://github.com/OHF-Voice/piper1-gpl, "docs/VOICES.md" and its training export). One addition:
a voice may name a phonemiser for each speaker (`"phoneme_type": "espeak for speaker 0; pinyin for speaker 1"`), and
`language` then has an entry for each; such a voice takes its symbols without padding. Loads nothing but JSON.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: a voice's JSON is some 10 KB, with a thousand speakers some 40
_MOST_BYTES = 4 * 1024 * 1024
_PER_SPEAKER = re.compile(r"(\w+) for speaker (\d+)")
#: what espeak-ng's names of languages are to us
_BASE_CODES = {"cmn": "zh"}


class DescriptionError(ValueError):
    """A description that cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """One of a voice's speakers. `phonemes` names the phonemiser, `espeak_voice` is empty for others than espeak."""

    name: str
    id: int
    phonemes: str
    language: str
    espeak_voice: str = ""


@dataclass(frozen=True, slots=True)
class Scales:
    """The three numbers that a graph takes: liveliness, length of sounds, unevenness of their lengths."""

    noise: float
    length: float
    noise_w: float


@dataclass(frozen=True, slots=True)
class Description:
    """A voice, as its JSON has it. `speakers` has at least one entry; the first speaks unless another is asked for."""

    sample_rate: int
    speakers: tuple[Speaker, ...]
    ids: dict[str, tuple[int, ...]] = field(hash=False)  # of each symbol
    scales: Scales
    phonemiser_per_speaker: bool  # and then each has a language of its own, and symbols are not padded
    licence: str
    gender: str = ""

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(speaker.language for speaker in self.speakers if speaker.language))

    @classmethod
    def read(cls, path: Path) -> Description:
        """Raises DescriptionError: not there, no JSON, or something of it missing or odd."""
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise DescriptionError(f"{path.name} is too large for a description")
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DescriptionError(f"{path.name} is missing: download it too") from None
        except (OSError, ValueError, RecursionError) as error:
            raise DescriptionError(f"{path.name} cannot be read: {error}") from None
        try:
            return cls._of(data)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DescriptionError(f"{path.name} is not what Piper writes: {_reason(error)}") from None

    @classmethod
    def _of(cls, data: Any) -> Description:
        inference = data.get("inference", {})
        speakers, split = _speakers(data)
        return cls(
            sample_rate=_within(int(data["audio"]["sample_rate"]), 8000, 48000, "audio.sample_rate"),
            speakers=speakers,
            ids={symbol: tuple(map(int, ids)) for symbol, ids in data["phoneme_id_map"].items()},
            scales=Scales(
                _within(float(inference.get("noise_scale", 0.667)), 0, 10, "inference.noise_scale"),
                _within(float(inference.get("length_scale", 1.0)), 0.01, 10, "inference.length_scale"),
                _within(float(inference.get("noise_w", 0.8)), 0, 10, "inference.noise_w"),
            ),
            phonemiser_per_speaker=split,
            licence=_licence(data),
        )


def _speakers(data: Any) -> tuple[tuple[Speaker, ...], bool]:
    """By number, the default first; and whether each has a phonemiser of its own."""
    kind = str(data.get("phoneme_type") or "espeak")
    own = {int(number): name for name, number in _PER_SPEAKER.findall(kind)}
    names = {int(number): str(name) for name, number in (data.get("speaker_id_map") or {}).items()}
    count = _within(int(data.get("num_speakers", 1)), 1, 10_000, "num_speakers")
    espeak_voice = str((data.get("espeak") or {}).get("voice", ""))
    found = []
    for number in range(count):
        phonemes = own.get(number, kind)
        if own and number not in own:
            raise ValueError(f"phoneme_type names no phonemiser for speaker {number}")
        found.append(
            Speaker(
                names.get(number, str(number)),
                number,
                phonemes,
                _language(data, number, espeak_voice),
                espeak_voice if phonemes == "espeak" else "",
            )
        )
        if phonemes == "espeak" and not espeak_voice:
            raise ValueError("espeak.voice is missing")
    first = int(data.get("default_speaker_id") or 0)
    return tuple(sorted(found, key=lambda speaker: (speaker.id != first, speaker.id))), bool(own)


def _language(data: Any, number: int, espeak_voice: str) -> str:
    """The base code: of `language`, else of what espeak-ng calls it; empty where neither is there."""
    language = data.get("language") or {}
    code = language.get(str(number), language).get("code", "") or espeak_voice
    base = re.split("[-_]", str(code).lower())[0]
    return _BASE_CODES.get(base, base)


def _licence(data: Any) -> str:
    """With whom the makers want named, which belongs to it."""
    licence = str(data.get("licence") or data.get("license") or "")
    attribution = data.get("attribution") or []
    return " ".join([licence, *(attribution if isinstance(attribution, list) else [str(attribution)])]).strip()


def _within(value: Any, least: float, most: float, name: str) -> Any:
    if not (math.isfinite(value) and least <= value <= most):
        raise ValueError(f"{name} is {value}, and not within {least} and {most}")
    return value


def _reason(error: Exception) -> str:
    return f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
