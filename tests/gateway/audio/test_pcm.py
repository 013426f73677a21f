from __future__ import annotations

import struct

from gateway.audio.pcm import fade_in, fade_out

LOUD = struct.pack("<2400h", *[20000] * 2400)  # 100 ms at 24 kHz


def samples(pcm: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(pcm) // 2}h", pcm))


def test_a_fade_in_rises_from_silence_within_five_milliseconds_and_leaves_the_rest() -> None:
    faded = samples(fade_in(LOUD, 24000))
    assert faded[:120] == sorted(faded[:120])
    assert faded[0] < 20
    assert 9500 < faded[60] < 10500
    assert faded[120:] == [20000] * 2280


def test_a_fade_out_is_a_fade_in_backwards() -> None:
    assert samples(fade_out(LOUD, 24000)) == samples(fade_in(LOUD, 24000))[::-1]


def test_a_sound_shorter_than_the_fade_is_faded_whole() -> None:
    short = LOUD[:20]
    assert len(fade_in(short, 24000)) == 20
    assert samples(fade_out(short, 24000))[-1] < 500
    assert fade_in(b"", 24000) == fade_out(b"", 24000) == b""


def test_full_scale_stays_within_range() -> None:
    assert min(samples(fade_in(struct.pack("<h", -32768) * 240, 24000))) == -32768
