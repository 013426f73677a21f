"""Puts a request into a dialect's words: what is sent of it, and under which names. Pure.

What can be measured is spoken as it was asked, or not at all: text, voice, language, speed, markup. What colours a
speech (instructions, emotion, seed) is left out where the dialect has no name for it, as every engine takes the part
that it knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec

from engines.contract import Emotion, EngineInfo, SpeechRequest
from engines.errors import Unsupported
from engines.openai.dialects import Dialect, Part

_encode = msgspec.json.Encoder().encode


def require_able(request: SpeechRequest, dialect: Dialect, info: EngineInfo) -> None:
    """Raises Unsupported where the server would speak something else than what was asked, or would break off."""
    if not info.speaks(request.language):
        raise Unsupported(f"this engine does not speak {request.language!r}", param="language")
    if request.markup == "ssml" and not info.ssml:
        raise Unsupported("this engine takes no SSML", param="input_type")
    if request.markup == "plain" and not any(map(str.isalnum, request.text)):
        raise Unsupported("there is no word to speak in this text", param="input")
    if info.max_chars is not None and len(request.text) > info.max_chars:
        raise Unsupported(f"this engine takes {info.max_chars} characters at once", param="input")
    low, high = dialect.speeds if dialect.takes("speed") else (1.0, 1.0)
    if not low <= request.speed <= high:
        speeds = f"from {low:g} to {high:g}" if low < high else "at its own speed only"
        raise Unsupported(f"this engine speaks {speeds}", param="speed")
    if not _knows(request.voice, dialect, info):
        raise Unsupported(f"this engine has no voice {request.voice!r}", param="voice")


def _knows(voice: str, dialect: Dialect, info: EngineInfo) -> bool:
    if not voice or not info.voices or info.has_voice(voice):
        return True
    parts = voice.replace("-", "+").split("+")
    return dialect.mixes and all(info.has_voice(part.partition("(")[0].strip()) for part in parts)


def voice_of(request: SpeechRequest, dialect: Dialect, info: EngineInfo) -> str:
    """The voice to ask for; empty where the server chooses."""
    if request.voice:
        return request.voice
    if own := info.default_voice(request.language, request.gender):
        return own
    default = dialect.default_voice
    if default is not None and (not default or not info.voices or info.has_voice(default)):
        return default
    return info.voices[0].id if info.voices else ""


def encode(request: SpeechRequest, dialect: Dialect, model: str, voice: str) -> bytes:
    """The body, in JSON or as a form."""
    fields: dict[str, Any] = {dialect.text: request.text}
    for part, value in _said(request, dialect, model, voice).items():
        if value is not None and (name := dialect.names.get(part)):
            fields[name] = value
    fields |= dialect.fields
    if request.speed == 1.0:
        fields |= dialect.stream_fields
    return urlencode(fields).encode() if dialect.form else _encode(fields)


def _said(request: SpeechRequest, dialect: Dialect, model: str, voice: str) -> Mapping[Part, Any]:
    """What is said beside the text; None where nothing is."""
    return {
        "model": model or None,
        "voice": voice or None,
        "format": dialect.format,
        "rate": dialect.rate_hz,
        "speed": request.speed if request.speed != 1.0 else None,
        "instructions": request.instructions or None,
        "language": _language(request.language, dialect, voice),
        "seed": request.seed,
        "emotion": _emotion(request.emotion) if request.emotion else None,
        "markup": "ssml" if request.markup == "ssml" else None,
    }


def _language(language: str, dialect: Dialect, voice: str) -> str | None:
    """The dialect's word for it; None where it has none, or the voice says it already."""
    if dialect.about_voice and language in dialect.about_voice(voice).languages:
        return None
    return dialect.language_words.get(language) if dialect.language_words else language


def _emotion(emotion: Emotion) -> dict[str, Any]:
    """As the gateway's own API takes it."""
    if emotion.vector:
        return {"vector": emotion.vector, "alpha": emotion.alpha}
    if emotion.voice:
        return {"voice": emotion.voice, "alpha": emotion.alpha}
    return {**dict(emotion.weights), "alpha": emotion.alpha}
