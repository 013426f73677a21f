"""What the stand-in for Model Studio speaks: a tone as long as the text is, its words' times, and what it costs."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from typing import Any

#: seconds that one Han character or one word takes at rate 1
UNIT_S = 0.06

_TAG = re.compile(r"<[^>]*>")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_UNIT = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3400-\u9fff]+")


def plain(text: str) -> str:
    """Text without SSML's tags, which are not billed."""
    return _TAG.sub("", text)


def units(text: str) -> list[str]:
    """Han characters one by one, and words of other scripts."""
    return _UNIT.findall(plain(text))


def billed(text: str, han_counts: int) -> int:
    """Characters: marks and spaces count, tags do not, and a Han character counts as often as its service says."""
    return len(plain(text)) + (han_counts - 1) * len(_HAN.findall(plain(text)))


def pcm(text: str, sample_rate: int, rate: float = 1.0) -> bytes:
    """A tone of 440 Hz, s16le mono."""
    samples = round(len(units(text)) * UNIT_S / rate * sample_rate)
    turn = 2 * math.pi * 440 / sample_rate
    period = [round(9000 * math.sin(turn * n)) for n in range(min(samples, sample_rate))]
    one = struct.pack(f"<{len(period)}h", *period)  # a second: a whole number of turns
    return (one * (samples // sample_rate + 1))[: 2 * samples]


def wav(audio: bytes, sample_rate: int) -> bytes:
    """`audio` behind the header of a file whose length is not known yet."""
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0xFFFFFFFF, b"WAVE", b"fmt ", 16, 1, 1, sample_rate,
                       2 * sample_rate, 2, 16, b"data", 0xFFFFFFFF)  # fmt: skip
    return head + audio


def sentences(text: str, rate: float = 1.0) -> Iterator[dict[str, Any]]:
    """Sentences with their words' times in ms. Each one comes twice, as it grows: half of its words, then all."""
    at = 0
    for sentence in filter(None, (units(one) for one in re.split(r"(?<=[。！？.!?])", plain(text)))):
        times = [round((at + n) * UNIT_S / rate * 1000) for n in range(len(sentence) + 1)]
        words = [
            {"text": word, "begin_time": times[n], "end_time": times[n + 1], "phonemes": None}
            for n, word in enumerate(sentence)
        ]
        at += len(sentence)
        for told in sorted({max(1, len(words) // 2), len(words)}):
            yield {"begin_time": times[0], "end_time": times[told], "words": words[:told]}
