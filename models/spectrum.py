"""Short spectra of a wave, and the wave of short spectra, with numpy alone.

Frames are windowed and centred on multiples of the hop, and the wave is mirrored at its ends, as librosa and torch do
by default. Knows nothing about what is analysed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Spectrum = npt.NDArray[np.complexfloating]


def hann(samples: int) -> npt.NDArray[np.float64]:
    """A periodic window: 0, and then symmetrical."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)


def frames_of(wave: Array, fft: int, hop: int) -> Array:
    """[samples] -> [frames, fft], a view: each `hop` samples behind the last, as many as there is room for."""
    return np.lib.stride_tricks.sliding_window_view(wave, fft)[::hop]


def stft(wave: Array, fft: int, hop: int) -> Spectrum:
    """[samples] -> [fft // 2 + 1, samples // hop + 1], complex. The wave is longer than half a frame."""
    padded = np.pad(wave, fft // 2, mode="reflect")
    return np.fft.rfft(frames_of(padded, fft, hop) * hann(fft)).T


def istft(spectrum: Spectrum, fft: int, hop: int) -> npt.NDArray[np.float64]:
    """[fft // 2 + 1, columns] -> [(columns - 1) * hop], what `stft` was given or comes nearest to it (Griffin and Lim,
    1984). `hop` divides `fft`."""
    window, columns = hann(fft), spectrum.shape[1]
    frames = np.fft.irfft(spectrum.T, n=fft) * window
    shifts, wave, weight = (
        fft // hop,
        np.zeros((columns + fft // hop - 1, hop)),
        np.zeros((columns + fft // hop - 1, hop)),
    )
    for shift in range(shifts):
        part = slice(shift * hop, (shift + 1) * hop)
        wave[shift : shift + columns] += frames[:, part]
        weight[shift : shift + columns] += window[part] ** 2
    inside = slice(fft // 2, fft // 2 + (columns - 1) * hop)
    return np.asarray(wave.ravel()[inside] / weight.ravel()[inside])
