"""The 44-byte header of a RIFF/WAVE file of 16-bit mono PCM. Knows nothing about files or streams."""

from __future__ import annotations

import struct

HEADER_BYTES = 44

#: what a size field holds when the size is unknown, or does not fit: readers then read to the end
UNKNOWN = 0xFFFFFFFF


def wav_header(sample_rate: int, pcm_bytes: int | None = None) -> bytes:
    """The header before `pcm_bytes` bytes of PCM at `sample_rate` Hz; `None`: still streaming, length unknown.

    Layout: Multimedia Programming Interface and Data Specifications 1.0 (IBM, Microsoft, 1991), RIFF WAVE.
    """
    whole = pcm_bytes is not None and HEADER_BYTES - 8 + pcm_bytes < UNKNOWN
    riff, data = (HEADER_BYTES - 8 + pcm_bytes, pcm_bytes) if whole and pcm_bytes is not None else (UNKNOWN, UNKNOWN)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", riff, b"WAVE"),
        *(b"fmt ", 16, 1, 1, sample_rate, sample_rate * 2, 2, 16),  # PCM, mono, two bytes a sample
        *(b"data", data),
    )
