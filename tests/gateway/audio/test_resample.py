from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.audio.resample import Resampler

PAIRS = [(22050, 24000), (24000, 48000), (48000, 8000), (44100, 24000), (16000, 44100), (24000, 11025)]


def resample(source_hz: int, target_hz: int, pcm: bytes, *piece_bytes: int) -> bytes:
    resampler = Resampler(source_hz, target_hz)
    sizes = piece_bytes or (len(pcm),)
    out, at, turn = [], 0, 0
    while at < len(pcm):
        size = sizes[turn % len(sizes)]
        out.append(resampler.process(pcm[at : at + size]))
        at, turn = at + size, turn + 1
    return b"".join([*out, resampler.finish()])


@pytest.mark.parametrize(("source_hz", "target_hz"), PAIRS)
def test_a_sine_stays_a_sine(lab: Any, source_hz: int, target_hz: int) -> None:
    out = lab.samples(resample(source_hz, target_hz, lab.tone(source_hz, 2.0, hz=1000), 960))
    middle = slice(target_hz // 2, len(out) - target_hz // 2)
    angle = 2 * np.pi * 1000 * np.arange(len(out))[middle] / target_hz
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    (along, across), *_ = np.linalg.lstsq(basis, out[middle], rcond=None)
    rest = out[middle] - basis @ [along, across]
    assert lab.level_db(out[middle]) - lab.level_db(rest) > 60
    assert along == pytest.approx(0.4, rel=0.01)
    assert across == pytest.approx(0, abs=0.004)  # neither early nor late


@pytest.mark.parametrize(("source_hz", "target_hz"), PAIRS)
@pytest.mark.parametrize("samples", [1, 37, 1000, 24001])
def test_the_length_is_kept(lab: Any, source_hz: int, target_hz: int, samples: int) -> None:
    out = resample(source_hz, target_hz, lab.tone(source_hz, samples / source_hz))
    assert abs(len(out) / 2 - samples * target_hz / source_hz) <= 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=5))
def test_how_the_pcm_is_cut_does_not_change_the_result(lab: Any, sizes: list[int]) -> None:
    pcm = lab.tone(22050, 0.3)
    assert resample(22050, 24000, pcm, *sizes) == resample(22050, 24000, pcm)


def test_full_scale_is_clipped_and_never_wraps_around() -> None:
    square = np.where(np.arange(4800) // 24 % 2, 32767, -32768).astype("<i2")
    out = np.frombuffer(resample(24000, 48000, square.tobytes()), dtype="<i2")
    # away from the jumps, every sample keeps its sign
    held = np.repeat(square, 2)
    inside = np.ones(len(held), dtype=bool)
    for jump in range(0, len(held), 48):
        inside[max(0, jump - 3) : jump + 3] = False
    assert np.array_equal(np.sign(out[inside].astype(int)), np.sign(held[inside].astype(int)))
    assert out.max() == 32767
    assert out.min() == -32768


def test_equal_rates_pass_through_untouched() -> None:
    resampler = Resampler(24000, 24000)
    assert resampler.process(b"\x01\x02\x03\x04") == b"\x01\x02\x03\x04"
    assert resampler.finish() == b""


def test_equal_rates_and_plain_formats_import_no_library() -> None:
    code = (
        "import sys; from gateway.audio import encode, files, resample, rates\n"
        "resample.Resampler(8000, 8000).process(bytes(4)); encode.open_encoder('wav', 8000).encode(bytes(4))\n"
        "print(sorted({'av', 'numpy', 'soxr', 'soundfile'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
