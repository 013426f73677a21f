"""Ears for tests: how long, how loud, and how many beeps. Pure Python, so that a plugin's tests need no numpy.

PCM is mono, signed 16 bit, little endian throughout, as in `AudioChunk`. Knows nothing about files and formats.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator

from engines.contract import AudioChunk, Engine, SpeechRequest

#: below this RMS (of 32768) nothing was said: encoders leave a few units of noise in silence
SILENCE_RMS = 100.0


async def speak_all(engine: Engine, request: SpeechRequest) -> list[AudioChunk]:
    """Every chunk of one speech; the stream is closed also when it raises. Raises what the engine raises."""
    stream = engine.synthesize(request)
    try:
        return [chunk async for chunk in stream]
    finally:
        await stream.aclose()


def seconds(chunks: list[AudioChunk]) -> float:
    """Length of a speech, in seconds."""
    return sum(chunk.seconds for chunk in chunks)


def rms(pcm: bytes) -> float:
    """Root mean square of the samples, 0 to 32768; 0 for no samples."""
    samples = _samples(pcm)
    return math.sqrt(sum(sample * sample for sample in samples) / len(samples)) if samples else 0.0


def count_beeps(pcm: bytes, sample_rate: int) -> int:
    """How many beeps of the kind `tone` are in `pcm`, also after resampling and a lossy format.

    The envelope is the RMS of windows of 5 ms. A beep begins over 35 % of the loudest window and ends under 20 %: two
    thresholds, so that what an encoder smears into a gap or ripples over a beep is not counted.
    """
    envelope = [rms(window) for window in _windows(pcm, 2 * round(sample_rate * 0.005))]
    loudest = max(envelope, default=0.0)
    if loudest < SILENCE_RMS:
        return 0
    beeps, sounding = 0, False
    for level in envelope:
        if not sounding and level > 0.35 * loudest:
            beeps, sounding = beeps + 1, True
        elif sounding and level < 0.20 * loudest:
            sounding = False
    return beeps


def _windows(pcm: bytes, window_bytes: int) -> Iterator[bytes]:
    return (pcm[start : start + window_bytes] for start in range(0, len(pcm), window_bytes))


def _samples(pcm: bytes) -> array[int]:
    samples = array("h")
    samples.frombytes(pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples
