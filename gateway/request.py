"""What a client asked for, once parsed and checked. Knows nothing about HTTP or JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from engines.contract import Emotion
from policies.fields import Format

__all__ = ["FORMATS", "ClientRequest", "Format", "InputType"]

InputType = Literal["text", "ssml", "markdown"]

FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """One request for speech. `speed` 0.25 to 4.0; `sample_rate` in Hz; `voice` and `language` empty: not asked."""

    input: str
    model: str = "auto"
    voice: str = ""
    format: Format = "mp3"
    speed: float = 1.0
    instructions: str = ""
    language: str = ""
    sample_rate: int = 24000
    emotion: Emotion | None = None
    seed: int | None = None
    input_type: InputType = "text"
    tags: frozenset[str] = frozenset()
    deadline_ms: int | None = None
    cache: Literal["use", "bypass"] = "use"
    stream: bool = True
    key: str = ""  # the API key's name
    tenant: str = ""  # whose clips, where they are not shared
    allowed_voices: frozenset[str] | None = None  # what the key may ask for; None: every voice
    allowed_engines: frozenset[str] | None = None
    #: gateways that it has come through; it is the same request by whatever way it came
    via: tuple[str, ...] = field(default=(), compare=False)
