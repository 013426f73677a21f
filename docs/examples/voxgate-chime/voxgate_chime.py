"""A third-party plugin for voxgate: the kind `chime` strikes a bell per word, and a hook logs each request.

Everything that a plugin may import is here: `engines.contract`, `engines.errors` and `hookimpl`.
"""

import asyncio
import functools
import logging
import math
import re
import struct
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import Annotated, Any

from engines.contract import AudioChunk, EngineInfo, EngineKind, Instance, Mark, Options, SpeechRequest, Voice
from engines.errors import InvalidRequest, Unsupported
from engines.hooks import hookimpl
from pydantic import Field

logger = logging.getLogger("voxgate.chime")

SAMPLE_RATE = 16000
#: frequency over the fundamental, and loudness, of the partials by which an ear knows a bell
PARTIALS = ((0.5, 0.3), (1.0, 1.0), (1.2, 0.5), (2.0, 0.6))
#: a voice is the bell's lowest note, in Hz
VOICES = {"tower": 260.0, "table": 520.0}
WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")  # a Han character, or letters and digits


class ChimeOptions(Options):
    """What may stand beside `kind: chime` in engines.yaml."""

    strike_s: Annotated[float, Field(ge=0.05, le=2)] = 0.22  # from one stroke to the next
    decay_s: Annotated[float, Field(ge=0.02, le=2)] = 0.12  # until a stroke is down to a third of its loudness


class ChimeEngine:
    """Rings. It has nothing to load, so `start`, `check` and `close` have nothing to do."""

    def __init__(self, instance: Instance, options: ChimeOptions) -> None:
        self.info = describe(instance, options)
        self._options = options

    async def start(self) -> None: ...

    async def check(self) -> None: ...

    async def close(self) -> None: ...

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        if request.voice not in ("", *VOICES):
            raise Unsupported(f"chime has no voice {request.voice!r}, only {' and '.join(VOICES)}")
        words = WORD.findall(request.text)
        if not words:
            raise InvalidRequest("there is no word to ring in this text", param="input")
        bell_hz = VOICES[request.voice or "table"]
        strike_s, decay_s = self._options.strike_s / request.speed, self._options.decay_s / request.speed
        at_s = 0.0
        for word in words:
            # Some milliseconds of arithmetic per word: in a thread, so that other requests go on meanwhile.
            pcm = await asyncio.to_thread(strike, note_hz(bell_hz, word), strike_s, decay_s)
            chunk = AudioChunk(pcm, SAMPLE_RATE, (Mark("word", word, at_s, at_s + len(pcm) / 2 / SAMPLE_RATE),))
            at_s += chunk.seconds
            yield chunk


def note_hz(bell_hz: float, word: str) -> float:
    """A note of the pentatonic scale over the bell's own, so that no sentence sounds wrong; high for short words."""
    return bell_hz * 2 ** ((12, 9, 7, 4, 2, 0)[min(len(word) - 1, 5)] / 12)


@functools.lru_cache(maxsize=64)  # a bell has few notes: each is computed once
def strike(frequency_hz: float, seconds: float, decay_s: float) -> bytes:
    """One stroke: partials that fade out exponentially, s16le. The 3 ms at its ends keep it from clicking."""

    def wave() -> Iterator[int]:
        count = round(seconds * SAMPLE_RATE)
        for n in range(count):
            at_s = n / SAMPLE_RATE
            ring = sum(loud * math.sin(2 * math.pi * frequency_hz * over * at_s) for over, loud in PARTIALS)
            edge = min(1.0, at_s / 0.003, (count - n) / SAMPLE_RATE / 0.003)
            yield round(8000 * ring * edge * math.exp(-at_s / decay_s))

    samples = list(wave())
    return struct.pack(f"<{len(samples)}h", *samples)


def describe(instance: Instance, options: ChimeOptions) -> EngineInfo:
    return EngineInfo(
        voices=tuple(Voice(name, ("en", "zh"), SAMPLE_RATE, licence="Apache-2.0") for name in VOICES),
        any_language=True,  # a bell has no accent
        slots=instance.slots or 4,
        marks=True,
        licence="Apache-2.0",
        version=f"chime 1 {options.strike_s} {options.decay_s}",
    )


KIND = EngineKind("chime", ChimeOptions, ChimeEngine, "a bell stroke per word", "Apache-2.0", describe=describe)


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]


@hookimpl
def on_served(record: Any) -> None:
    """Called once per request, after its last byte; must be quick."""
    logger.info(
        "%s %s: %.1f s of audio by %s", record.request_id, record.outcome, record.audio_s, record.engine or "nobody"
    )
