"""What may be said of kind `openai` in engines.yaml, and the dialect that follows. Knows nothing about sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from engines.contract import Options
from engines.openai.dialects import PRESETS, Dialect, Format, Listed, Part, Preset, Value
from engines.openai.mistakes import find_mistakes
from engines.remote.credentials import KeyPlaces
from engines.remote.language import BaseCode
from engines.remote.pcm import HIGHEST_HZ, LOWEST_HZ

Seconds = Annotated[float, Field(gt=0, le=3600)]
#: what of the options nobody can hear: everything else is part of a clip's key
_UNHEARD = frozenset({"urls", "api_key_env", "api_key_file", "connect_s", "first_byte_s", "gap_s"})


def _a_url(text: str) -> str:
    """Without a slash at the end."""
    try:
        parts = urlsplit(text.strip())
        _ = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        raise ValueError("is no URL: write http://HOST:PORT/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no URL of a server: write http://HOST:PORT/v1")
    if parts.username or parts.password:
        raise ValueError("holds a name or password: name an environment variable with the key by `api_key_env`")
    if parts.query or parts.fragment:
        raise ValueError("must end with a path, such as /v1")
    return text.strip().rstrip("/")


def _some(urls: tuple[str, ...]) -> tuple[str, ...]:
    if not urls:
        raise ValueError("must not be empty: write [http://HOST:PORT/v1]")
    return urls


def _a_path(text: str) -> str:
    if text and not text.startswith("/"):
        raise ValueError("must begin with a slash: it is put behind the URL")
    return text


Url = Annotated[str, AfterValidator(_a_url)]
UrlPath = Annotated[str, AfterValidator(_a_path)]


class OpenAiOptions(Options):
    """Options of kind `openai` in engines.yaml. What is left out of those after `preset` is as the preset says."""

    urls: Annotated[tuple[Url, ...], AfterValidator(_some)] = Field(
        description="of one server, or of several that speak alike; it usually ends in /v1",
        json_schema_extra={"minItems": 1},
    )
    preset: Preset = Field("openai", description="which kind of server it is")
    api_key_env: str | None = Field(None, description="environment variable that holds the key; unset: none is sent")
    api_key_file: Path | None = Field(None, description="file that holds the key, instead of a variable")
    model: str = Field("", description="name that the server has for the model; unset: the only one that it lists")
    voice: str | None = Field(None, description="spoken where none is named or mapped")
    voices: Mapping[str, tuple[BaseCode, ...]] = Field(
        default_factory=dict, description="voices of a server that lists none: name -> languages; []: any"
    )
    languages: tuple[BaseCode, ...] | None = Field(
        None, description="base codes of what it speaks; unset: what its voices speak where it tells, else any"
    )
    format: Format | None = Field(None, description="what the server is asked for: pcm, or wav")
    sample_rate: Annotated[int, Field(ge=LOWEST_HZ, le=HIGHEST_HZ)] | None = Field(
        None, description="of PCM, in Hz, where the reply does not tell it"
    )
    max_chars: Annotated[int, Field(ge=1)] | None = Field(None, description="longest text that it takes")
    path: UrlPath | None = Field(None, description="where it speaks, behind the URL")
    voices_path: UrlPath | None = Field(None, description="where it lists its voices; empty: nowhere")
    models_path: UrlPath | None = Field(None, description="where it lists its models; empty: nowhere")
    text: str | None = Field(None, description="its name for the field of the text")
    names: Mapping[Part, str] = Field(
        default_factory=dict, description="its names for other fields: part -> name; empty: it does not take that"
    )
    fields: Mapping[str, Value] = Field(default_factory=dict, description="further fields of every request")
    streams: bool | None = Field(None, description="whether it sends audio while it speaks")
    connect_s: Seconds = Field(3.0, description="seconds that a connection may take")
    first_byte_s: Seconds = Field(
        30.0, description="seconds to its first audio; then the next URL is tried: with several, less than the rule's"
    )
    gap_s: Seconds = Field(30.0, description="seconds of silence within a reply")

    @field_validator("format", mode="before")
    @classmethod
    def _no_compression(cls, value: Any) -> Any:
        if value in ("mp3", "opus", "aac", "flac"):
            raise ValueError("must be pcm or wav: audio is encoded once, for the client, by the gateway")
        return value

    @model_validator(mode="after")
    def _make_sense_together(self) -> Self:
        _ = self.key_places
        if mistakes := list(find_mistakes(self.urls, self.dialect(), self.voice)):
            raise ValueError("; ".join(mistakes))
        return self

    @property
    def key_places(self) -> KeyPlaces | None:
        """Where the key is; None when none is to be sent."""
        return KeyPlaces.named(self.api_key_env, self.api_key_file)

    def dialect(self) -> Dialect:
        """The preset with what stands here instead."""
        preset = PRESETS[self.preset]
        given: dict[str, Any] = {
            "path": self.path,
            "voices_path": self.voices_path,
            "models_path": self.models_path,
            "text": self.text,
            "format": self.format,
            "rate_hz": self.sample_rate,
            "max_chars": self.max_chars,
            "streams": self.streams,
            "default_voice": self.voice,
            "languages": None if self.languages is None else frozenset(self.languages),
            "voices": tuple(Listed(name, spoken) for name, spoken in self.voices.items()) or None,
        }
        names = {part: name for part, name in {**preset.names, **self.names}.items() if name}
        return replace(
            preset,
            names=names,
            fields={**preset.fields, **self.fields},
            **{name: value for name, value in given.items() if value is not None},
        )

    def heard(self) -> str:
        """All that changes what is heard, as part of the engine's version."""
        return self.model_dump_json(exclude=set(_UNHEARD), exclude_defaults=True)
