"""From what engines speak to the bytes of one file: every rate made one, then encoded, in short pieces.

Knows nothing about plans, caches or HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from gateway.audio.encode import SLICE_MS, Encoder, slices
from gateway.audio.resample import Resampler
from gateway.failover import Spoken


async def encode(spoken: AsyncGenerator[Spoken, None], encoder: Encoder) -> AsyncGenerator[bytes, None]:
    """Audio of any engines' rates in, pieces of one file out. Owns both arguments, and closes them."""
    with encoder:
        async with aclosing(at_rate(spoken, encoder.sample_rate, encoder.slice_ms)) as pcm:
            async for piece in pcm:
                if encoded := encoder.encode(piece):
                    yield encoded
        if last := encoder.finish():
            yield last


async def at_rate(
    spoken: AsyncGenerator[Spoken, None], sample_rate: int, slice_ms: int = SLICE_MS
) -> AsyncGenerator[bytes, None]:
    """PCM (s16le mono) at one rate (Hz), in short pieces.

    Engines change only between clauses that both speak whole, from silence to silence: the seam needs no fade.
    """
    resampler = Resampler(sample_rate, sample_rate)
    async with aclosing(spoken) as chunks:
        async for one in chunks:
            source_hz = one.chunk.sample_rate
            if source_hz != resampler.source_hz:
                if rest := resampler.finish():
                    yield rest
                resampler = Resampler(source_hz, sample_rate)
            for piece in slices(one.chunk.pcm, source_hz, slice_ms):
                if resampled := resampler.process(piece):
                    yield resampled
                await asyncio.sleep(0)
    if rest := resampler.finish():
        yield rest
