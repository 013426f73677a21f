"""Soft edges for PCM, so that a seam between two engines does not click. Knows nothing about engines."""

from __future__ import annotations

import math
import struct

#: length of a fade: under a phoneme, over the period of a low voice's fundamental cut in half
FADE_MS = 5


def fade_in(pcm: bytes, sample_rate: int, fade_ms: int = FADE_MS) -> bytes:
    """`pcm` (s16le mono) rising from silence over its first `fade_ms`, or over all of it if it is shorter."""
    count = min(len(pcm) // 2, sample_rate * fade_ms // 1000)
    return _scaled(pcm[: count * 2], _rise(count)) + pcm[count * 2 :]


def fade_out(pcm: bytes, sample_rate: int, fade_ms: int = FADE_MS) -> bytes:
    """`pcm` (s16le mono, whole samples) falling to silence over its last `fade_ms`, or over all of it."""
    count = min(len(pcm) // 2, sample_rate * fade_ms // 1000)
    cut = len(pcm) - count * 2
    return pcm[:cut] + _scaled(pcm[cut:], _rise(count)[::-1])


def _rise(count: int) -> list[float]:
    """A raised cosine from 0 to 1: no corner at either end."""
    return [0.5 - 0.5 * math.cos(math.pi * (index + 0.5) / count) for index in range(count)]


def _scaled(pcm: bytes, gains: list[float]) -> bytes:
    shape = f"<{len(gains)}h"
    return struct.pack(shape, *(round(s * gain) for s, gain in zip(struct.unpack(shape, pcm), gains, strict=True)))
