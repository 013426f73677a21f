"""One voice name that means the same speaker on every engine: voices.yaml, and how a name is resolved.

Knows nothing about HTTP or about which engine will speak.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from engines.contract import Gender
from engines.errors import InvalidRequest, near_names
from policies.fields import BASE_CODE


def _nameable(name: str) -> str:
    """`ENGINE:VOICE` is how a client names an engine's own voice, so that no voice of ours can be called so."""
    if not name or ":" in name or name != name.strip():
        raise ValueError(f"the name {name!r} cannot be asked for: a name is not empty and holds no `:`")
    return name


Language = Annotated[str, BASE_CODE]
Name = Annotated[str, AfterValidator(_nameable)]
OwnName = Annotated[str, Field(min_length=1)]


class VoiceEntry(BaseModel):
    """One voice: which name each engine has for it, or one name per language."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    languages: tuple[Language, ...] = Field((), description="base codes of the languages it speaks: zh, en, yue, …")
    gender: Gender = Field("", description="for engines that choose a voice of their own")
    engines: Mapping[str, OwnName | Annotated[Mapping[Language, OwnName], Field(min_length=1)]] = Field(
        default_factory=dict, description="engine -> its own name for this voice, or language -> name"
    )

    def on(self, engine: str, language: str) -> str | None:
        """The engine's own name for this voice in a language; None when the engine lacks it."""
        entry = self.engines.get(engine)
        return entry if entry is None or isinstance(entry, str) else entry.get(language)


class Voices(BaseModel):
    """voices.yaml: voices under names that hold for every engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(description="of this file's form")
    default: str = Field(description="the voice of a request that names none")
    voices: Annotated[Mapping[Name, VoiceEntry], Field(min_length=1)] = Field(description="name -> voice")
    aliases: Mapping[Name, str] = Field(default_factory=dict, description="other name -> voice")

    def resolve(self, name: str, param: str = "voice") -> str:
        """The canonical name behind `name` or an alias. Raises InvalidRequest, for that field, with near names."""
        canonical = self.aliases.get(name, name)
        if canonical in self.voices:
            return canonical
        near = near_names(name, sorted([*self.voices, *self.aliases]))
        raise InvalidRequest(f"unknown voice {name!r}; {near}", param=param)
