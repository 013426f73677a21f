"""Short spectra, there and back."""

import numpy as np
import pytest

from models.spectrum import hann, istft, stft


@pytest.mark.parametrize(("fft", "hop"), [(16, 4), (1024, 256), (12, 3)])
def test_a_wave_comes_back_whole(fft: int, hop: int) -> None:
    wave = np.random.default_rng(1).normal(size=hop * 50).astype(np.float32)
    spectra = stft(wave, fft, hop)
    assert spectra.shape == (fft // 2 + 1, 51)
    np.testing.assert_allclose(istft(spectra, fft, hop), wave, atol=1e-6)


def test_a_tone_is_in_its_band() -> None:
    wave = np.cos(2 * np.pi * 5 / 64 * np.arange(640)).astype(np.float32)
    magnitudes = np.abs(stft(wave, 64, 16))[:, 10]
    assert magnitudes.argmax() == 5
    assert magnitudes[5] == pytest.approx(hann(64).sum() / 2, rel=1e-3)


def test_a_window_is_periodic() -> None:
    window = hann(8)
    assert window[0] == 0
    np.testing.assert_allclose(window[1:], window[:0:-1])
    np.testing.assert_allclose(window + np.roll(window, 4), 1)
