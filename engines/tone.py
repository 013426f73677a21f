"""Kind `tone`: one countable beep per word or Han character, in every voice and language. The example to copy.

An engine is an object with `info`, `start`, `check`, `synthesize` and `close`; a kind tells the gateway how to make
one from a piece of YAML. Knows nothing about HTTP, formats or other engines: frozen data in, PCM out.
"""

import asyncio
import math
import re
import struct
import zlib
from collections.abc import AsyncGenerator, Iterable
from typing import Annotated

from pydantic import Field

from engines.contract import AudioChunk, EngineInfo, EngineKind, Instance, Mark, Options, SpeechRequest, Voice
from engines.errors import InvalidRequest
from engines.hooks import hookimpl

# A character of a script without spaces is a beep of its own. Elsewhere a word starts with a letter or digit and goes
# on, over apostrophes, decimal points and the vowel signs that `\w` lacks, to the next space or punctuation.
_ALONE = "々〇\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
_INSIDE = rf"[^\s!-/:-@\[-`{{-\u00bf\u2000-\u206f\u3000-\u303f\uff00-\uff0f\uff1a-\uff20{_ALONE}]"
_WORD = re.compile(rf"[{_ALONE}]|[^\W_]{_INSIDE}*(?:(?:['’]|(?<=\d)[.,:](?=\d)){_INSIDE}+)*")


class ToneOptions(Options):
    """What may stand in engines.yaml. `voxgate check` reads this type; no engine is made for that."""

    sample_rate: Annotated[int, Field(ge=8000, le=48000, description="in Hz")] = 24000
    beep_ms: Annotated[float, Field(ge=10, le=1000, description="length of a beep")] = 80
    gap_ms: Annotated[float, Field(ge=0, le=10_000, description="silence after each beep")] = 40
    frequency_hz: Annotated[float | None, Field(ge=200, le=3800, description="unset: each voice has its own")] = None
    chunk_ms: Annotated[float, Field(ge=5, le=60_000, description="length of each piece of audio that is given")] = 120
    first_audio_ms: Annotated[float, Field(ge=0, description="pretends to think before it speaks")] = 0
    real_time_factor: Annotated[float, Field(ge=0, description="0: as fast as it can; 0.5: half the audio's time")] = 0


class ToneEngine:
    """Speaks beeps. A real engine loads its model in `start` and computes in `synthesize`, off the event loop."""

    def __init__(self, instance: Instance, options: ToneOptions) -> None:
        self.info = describe(instance, options)
        self._options = options

    async def start(self) -> None:
        """Nothing to load. A model that is not there would raise `Unavailable` with the command that gets it."""

    async def check(self) -> None:
        """Always well. A remote engine would ask its server something cheap."""

    async def close(self) -> None:
        """Nothing to release."""

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak. An async generator: nothing runs before the first `anext`, and closing it is how it is cancelled."""
        options, rate, words = self._options, self._options.sample_rate, _WORD.findall(request.text)
        if not words:
            raise InvalidRequest("there is no word to speak in this text", param="input")
        await asyncio.sleep(options.first_audio_ms / 1000)
        beep = round(rate * options.beep_ms / 1000 / request.speed)  # lengths in samples from here on
        period = beep + round(rate * options.gap_ms / 1000 / request.speed)
        step = round(rate * options.chunk_ms / 1000)
        # Each voice has a pitch of its own, 300 to 1200 Hz; unlike `hash`, crc32 is equal in every process.
        wave = _beep(options.frequency_hz or 300 + zlib.crc32(request.voice.encode()) % 900, rate, beep)
        # All words sound alike, so any chunk is cut from a few of them: a text of any length takes the same memory.
        some = (wave + bytes(2 * (period - beep))) * (step // period + 2)
        for start in range(0, period * len(words), step):
            stop = min(start + step, period * len(words))
            # Time passes here, never in a lock or timeout held around `yield`; sleep(0) lets others run.
            await asyncio.sleep((stop - start) / rate * options.real_time_factor)
            first = 2 * (start % period)
            begun = range(math.ceil(start / period), math.ceil(stop / period))  # the words that begin in this chunk
            marks = (Mark("word", words[n], n * period / rate, (n * period + beep) / rate) for n in begun)
            yield AudioChunk(some[first : first + 2 * (stop - start)], rate, tuple(marks))


def _beep(frequency_hz: float, sample_rate: int, samples: int) -> bytes:
    """A sine, s16le, faded over 5 ms or a quarter of it at both ends: an edge would click."""
    fade, turn = max(1, min(sample_rate // 200, samples // 4)), 2 * math.pi * frequency_hz / sample_rate
    level = (12000 * min(1, (n + 1) / fade, (samples - n) / fade) for n in range(samples))
    return struct.pack(f"<{samples}h", *(round(loud * math.sin(turn * n)) for n, loud in enumerate(level)))


def describe(instance: Instance, options: ToneOptions) -> EngineInfo:
    """What such an engine can do, said without making one. `version` names all that changes the sound."""
    voices = (Voice("tone", ("zh", "yue", "en", "ja", "ko"), options.sample_rate),)
    sound = "tone 1 " + options.model_dump_json(include={"sample_rate", "beep_ms", "gap_ms", "frequency_hz"})
    return EngineInfo(voices, any_voice=True, any_language=True, slots=instance.slots or 16, marks=True, version=sound)


_SUMMARY = "one beep per word or Han character, for trials"
KIND = EngineKind("tone", ToneOptions, ToneEngine, _SUMMARY, "Apache-2.0", describe=describe, isolation="inline")


@hookimpl
def engine_kinds() -> Iterable[EngineKind]:
    return [KIND]  # how the gateway learns of it; inline: beeps need no worker process of their own
