"""What the stand-in servers say: the beeps of the kind `tone`, one a word, in a pitch of each voice's own."""

from __future__ import annotations

from engines.contract import Instance, SpeechRequest
from engines.errors import InvalidRequest
from engines.tone import ToneEngine, ToneOptions
from gateway.audio.encode import finish_clip, open_encoder
from gateway.audio.wav import wav_header

MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


async def spoken(text: str, voice: str, rate_hz: int, speed: float = 1.0) -> bytes:
    """PCM, mono, s16le; nothing for a text without words."""
    engine = ToneEngine(Instance("stand-in"), ToneOptions(sample_rate=rate_hz))
    try:
        request = SpeechRequest(text, "en", voice=voice, speed=speed)
        return b"".join([chunk.pcm async for chunk in engine.synthesize(request)])
    except InvalidRequest:
        return b""


def encoded(pcm: bytes, rate_hz: int, form: str) -> bytes:
    """A whole file of it."""
    if form == "pcm":
        return pcm
    if form == "wav":
        return wav(pcm, rate_hz, len(pcm))
    with open_encoder(form, rate_hz) as encoder:  # type: ignore[arg-type]
        return finish_clip(form, encoder.encode(pcm) + encoder.finish())  # type: ignore[arg-type]


def wav(pcm: bytes, rate_hz: int, told_bytes: int | None = None) -> bytes:
    """A header and `pcm`. `told_bytes`: the length that the header tells; None: none (0xFFFFFFFF), as in a stream."""
    return wav_header(rate_hz, told_bytes) + pcm
