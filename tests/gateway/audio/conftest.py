"""Sounds to encode and instruments to measure what comes out: real decoders, no mocks."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

Samples = NDArray[np.float64]

#: what one step of a sample is worth, by libav's name of the sample format
FULL_SCALE = {"s16": 32768, "s16p": 32768, "s32": 2**31, "fltp": 1, "flt": 1}


@dataclass(frozen=True)
class Heard:
    """What a decoder made of a file. `samples` run from -1 to 1."""

    samples: Samples
    sample_rate: int
    channels: int
    streams: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate

    def between(self, start_s: float, end_s: float) -> Samples:
        return self.samples[int(start_s * self.sample_rate) : int(end_s * self.sample_rate)]


class Lab:
    @staticmethod
    def tone(sample_rate: int, seconds: float, hz: float = 440.0, amplitude: float = 0.4) -> bytes:
        """A sine as s16le mono."""
        time_s = np.arange(round(sample_rate * seconds)) / sample_rate
        return np.rint(amplitude * 32767 * np.sin(2 * np.pi * hz * time_s)).astype("<i2").tobytes()

    @classmethod
    def growth_bytes(cls, take: Callable[[bytes], object]) -> int:
        """By how much this process grows while `take` is given 600 s of sound at 24 kHz, after 10 s to settle in."""
        second = cls.tone(24000, 1.0)
        process = psutil.Process()
        for _ in range(10):
            take(second)
        before = process.memory_info().rss
        for _ in range(600):
            take(second)
        return int(process.memory_info().rss - before)

    @staticmethod
    def samples(pcm: bytes) -> Samples:
        return np.frombuffer(pcm, dtype="<i2") / 32768

    @staticmethod
    def level_db(samples: Samples) -> float:
        return float(10 * np.log10(np.mean(samples**2)))

    @staticmethod
    def dominant_hz(samples: Samples, sample_rate: int) -> float:
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        return float(np.argmax(spectrum) * sample_rate / len(samples))

    @staticmethod
    def encode(format: Any, sample_rate: int, pcm: bytes, *piece_bytes: int) -> bytes:
        """Encode `pcm` in pieces of the given sizes, used in turn; in one piece when none is given."""
        from gateway.audio.encode import open_encoder

        sizes = piece_bytes or (max(1, len(pcm)),)
        out, at, turn = [], 0, 0
        with open_encoder(format, sample_rate) as encoder:
            while at < len(pcm):
                size = sizes[turn % len(sizes)]
                out.append(encoder.encode(pcm[at : at + size]))
                at, turn = at + size, turn + 1
            out.append(encoder.finish())
        return b"".join(out)

    @staticmethod
    def decode(format: str, encoded: bytes, sample_rate: int) -> Heard:
        """Decode every frame; an error in any of them raises. `sample_rate` serves headerless pcm alone."""
        if format == "pcm":
            return Heard(Lab.samples(encoded), sample_rate, 1, 1)
        import av

        source: Any
        with av.open(io.BytesIO(encoded)) as source:
            stream = source.streams.audio[0]
            stream.codec_context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
            parts = [f.to_ndarray()[0].astype(np.float64) / FULL_SCALE[f.format.name] for f in source.decode(stream)]
            rate, channels, streams = stream.rate, stream.channels, len(source.streams)
        return Heard(np.concatenate(parts) if parts else np.zeros(0), rate, channels, streams)


@pytest.fixture
def lab() -> Lab:
    return Lab()
