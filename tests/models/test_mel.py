"""Mel spectrograms."""

import numpy as np
import pytest

from models.mel import FLOOR, MelScale

SCALE = MelScale(sample_rate=22050, fft=1024, hop=256, mels=80, lowest_hz=0, highest_hz=8000)


@pytest.mark.parametrize(("lowest_hz", "highest_hz"), [(0, 8000), (0, 11025), (1500, 8000)])
def test_bands_are_slaneys(lowest_hz: float, highest_hz: float) -> None:
    theirs = pytest.importorskip("transformers.audio_utils").mel_filter_bank(
        num_frequency_bins=513,
        num_mel_filters=80,
        min_frequency=lowest_hz,
        max_frequency=highest_hz,
        sampling_rate=22050,
        norm="slaney",
        mel_scale="slaney",
    )
    ours = MelScale(22050, 1024, 256, 80, lowest_hz, highest_hz).bands
    np.testing.assert_allclose(ours, theirs.T, atol=1e-12)


def test_each_hop_has_a_frame() -> None:
    assert SCALE.of(np.zeros(256 * 7, np.float32)).shape == (80, 7)


def test_silence_is_the_floor_and_twice_as_loud_is_a_logarithm_more() -> None:
    wave = np.random.default_rng(1).normal(0, 0.1, 256 * 20).astype(np.float32)
    np.testing.assert_allclose(SCALE.of(2 * wave) - SCALE.of(wave), np.log(2), atol=0.02)
    assert SCALE.of(0 * wave).max() < np.log(10 * FLOOR)


def test_a_tone_is_in_the_band_around_it() -> None:
    tone = np.sin(2 * np.pi * 440 / 22050 * np.arange(256 * 20)).astype(np.float32)
    loudest = SCALE.of(tone)[:, 10].argmax()
    assert abs(SCALE.bands[loudest].argmax() * 22050 / 1024 - 440) < 40
