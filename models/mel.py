"""Mel spectrograms as HiFi-GAN has them (Kong et al., arXiv:2010.05646): logarithms of magnitudes in bands on Slaney's
scale. Knows nothing about which model wants them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.spectrum import stft

Array = npt.NDArray[np.float32]

#: Slaney's scale (Auditory Toolbox, 1998): straight up to 1000 Hz, 3 mels for 200 Hz; then 27 mels for a factor of 6.4
_STRAIGHT_HZ, _HZ_PER_MEL = 1000.0, 200 / 3
_LOG_PER_MEL = float(np.log(6.4)) / 27
#: of a magnitude, before its logarithm
FLOOR = 1e-5


@dataclass(frozen=True)
class MelScale:
    """mel = MelScale(sample_rate=22050, fft=1024, hop=256, mels=80, lowest_hz=0, highest_hz=8000).of(wave)"""

    sample_rate: int
    fft: int  # samples of a frame
    hop: int  # samples
    mels: int
    lowest_hz: float
    highest_hz: float
    window: int = 0  # samples in the middle of a frame that count; 0: all

    @property
    def edge(self) -> int:
        """Samples by which a wave is mirrored at both ends, so that each `hop` of it has a frame."""
        return (self.fft - self.hop) // 2

    @cached_property
    def bands(self) -> npt.NDArray[np.float64]:
        """What each band takes of each frequency: triangles of equal area, [mels, fft // 2 + 1]."""
        corners = _hz(np.linspace(_mel(self.lowest_hz), _mel(self.highest_hz), self.mels + 2))
        frequencies = np.arange(self.fft // 2 + 1) * self.sample_rate / self.fft
        rising = (frequencies - corners[:-2, None]) / np.diff(corners)[:-1, None]
        falling = (corners[2:, None] - frequencies) / np.diff(corners)[1:, None]
        return np.maximum(0, np.minimum(rising, falling)) * 2 / (corners[2:] - corners[:-2])[:, None]

    def of(self, wave: Array) -> Array:
        """[samples] -> [mels, samples // hop]"""
        spectra = stft(wave, self.fft, self.hop, self.edge, self.window)
        magnitudes = np.sqrt(spectra.real**2 + spectra.imag**2 + 1e-9)
        return np.asarray(np.log(np.maximum(self.bands @ magnitudes, FLOOR)), np.float32)


def _mel(hz: float) -> float:
    if hz < _STRAIGHT_HZ:
        return hz / _HZ_PER_MEL
    return _STRAIGHT_HZ / _HZ_PER_MEL + float(np.log(hz / _STRAIGHT_HZ)) / _LOG_PER_MEL


def _hz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    corner = _STRAIGHT_HZ / _HZ_PER_MEL
    return np.where(mel < corner, mel * _HZ_PER_MEL, _STRAIGHT_HZ * np.exp((mel - corner) * _LOG_PER_MEL))
