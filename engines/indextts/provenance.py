"""Where a voice comes from, of which model it is, and how it may be used: kept in the head of its file.

Knows neither arrays nor files, so that the gateway's process may read it without numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast, get_args

from engines.contract import Gender

#: of a voice's file; another one means other arrays
FORMAT = "voxgate-indextts-voice-1"
#: of a recording, what is listened to: the release cuts it so
LONGEST_S = 15.0


@dataclass(frozen=True, slots=True)
class Provenance:
    """`model` is the version of the bundle whose networks heard the recording: no other can speak with the voice."""

    model: str
    sample_rate: int  # Hz, of what the model speaks
    source_sha256: str
    seconds: float  # of the recording
    consent: str  # whose voice it is, and with what permission
    licence: str
    languages: tuple[str, ...]
    gender: Gender
    created: str  # ISO 8601, UTC
    emotion_sha256: str = ""  # of a second recording, for the emotion
    emotion_seconds: float = 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened to the recordings that who gave them may not expect."""
        lengths = {"recording": self.seconds, "recording for the emotion": self.emotion_seconds}
        return tuple(
            f"only the first {LONGEST_S:.0f} of {length:.1f} s of the {what} were listened to"
            for what, length in lengths.items()
            if length > LONGEST_S
        )

    def to_metadata(self) -> dict[str, str]:
        """Plain strings, as the head of a safetensors file holds them."""
        return {
            "format": FORMAT,
            "model": self.model,
            "sample_rate": str(self.sample_rate),
            "source_sha256": self.source_sha256,
            "seconds": f"{self.seconds:.2f}",
            "consent": self.consent,
            "licence": self.licence,
            "languages": " ".join(self.languages),
            "gender": self.gender,
            "created": self.created,
            "emotion_sha256": self.emotion_sha256,
            "emotion_seconds": f"{self.emotion_seconds:.2f}",
        }

    @classmethod
    def of_metadata(cls, kept: Mapping[str, str]) -> Self:
        """What `to_metadata` gave. Raises ValueError when it is something else."""
        try:
            if kept["format"] != FORMAT:
                raise ValueError(f"it is of the format {kept['format']!r} instead of {FORMAT!r}")
            if kept["gender"] not in get_args(Gender):
                raise ValueError(f"its gender is {kept['gender']!r}")
            return cls(
                model=kept["model"],
                sample_rate=int(kept["sample_rate"]),
                source_sha256=kept["source_sha256"],
                seconds=float(kept["seconds"]),
                consent=kept["consent"],
                licence=kept["licence"],
                languages=tuple(kept["languages"].split()),
                gender=cast(Gender, kept["gender"]),
                created=kept["created"],
                emotion_sha256=kept["emotion_sha256"],
                emotion_seconds=float(kept["emotion_seconds"]),
            )
        except KeyError as error:
            raise ValueError(f"its head lacks {error}") from None
