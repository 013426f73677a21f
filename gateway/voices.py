"""One voice name that means the same speaker on every engine: voices.yaml, and how a name is resolved.

Knows nothing about HTTP or about which engine will speak.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engines.contract import Gender
from engines.errors import InvalidRequest


class VoiceEntry(BaseModel):
    """One voice: which name each engine has for it, or one name per language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: tuple[str, ...] = ()
    gender: Gender = ""
    engines: Mapping[str, str | Mapping[str, str]] = Field(default_factory=dict)

    def on(self, engine: str, language: str) -> str | None:
        """The engine's own name for this voice in a language; None when the engine lacks it."""
        entry = self.engines.get(engine)
        return entry if entry is None or isinstance(entry, str) else entry.get(language)


class Voices(BaseModel):
    """voices.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1]
    default: str
    voices: Annotated[Mapping[str, VoiceEntry], Field(min_length=1)]
    aliases: Mapping[str, str] = Field(default_factory=dict)

    def resolve(self, name: str) -> str:
        """The canonical name behind `name` or an alias. Raises InvalidRequest with near names."""
        canonical = self.aliases.get(name, name)
        if canonical in self.voices:
            return canonical
        known = [*self.voices, *self.aliases]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or sorted(known)[:5]
        raise InvalidRequest(f"unknown voice {name!r}; near names: {', '.join(near)}", param="voice")
