"""Short spectra of a wave, and the wave of short spectra, with numpy alone.

Frames lie a hop apart and are windowed, and the wave is mirrored at its ends: by half a frame, as librosa and torch do
by default, or by as much as the caller says. Knows nothing about what is analysed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Spectrum = npt.NDArray[np.complexfloating]


def hann(samples: int, frame: int = 0) -> npt.NDArray[np.float64]:
    """A periodic window: 0, and then symmetrical. In the middle of `frame` samples, if these are more."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)
    before = (max(frame, samples) - samples) // 2
    return np.pad(window, (before, max(frame, samples) - samples - before))


def stft(wave: Array, fft: int, hop: int, edge: int | None = None, window: int = 0) -> Spectrum:
    """[samples] -> complex [fft // 2 + 1, columns]: (samples + 2 edge - fft) // hop + 1 columns, which are one more
    than hops where `edge` is half a frame. window: its samples, if they are fewer than `fft`."""
    padded = np.pad(wave, fft // 2 if edge is None else edge, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, fft)[::hop]
    return np.fft.rfft(frames * hann(window or fft, fft).astype(wave.dtype)).T


def istft(spectrum: Spectrum, fft: int, hop: int, edge: int | None = None) -> Array:
    """[fft // 2 + 1, columns] -> [samples]: what `stft` was given, or the wave whose spectra come nearest to these
    (Griffin and Lim, 1984). `hop` divides `fft`."""
    columns, hops = spectrum.shape[1], spectrum.shape[1] + fft // hop - 1
    window = hann(fft).astype(spectrum.real.dtype)
    frames = np.fft.irfft(spectrum.T, n=fft) * window
    wave, weight = np.zeros((hops, hop), frames.dtype), np.zeros((hops, hop), frames.dtype)
    for shift in range(fft // hop):
        part = slice(shift * hop, (shift + 1) * hop)
        wave[shift : shift + columns] += frames[:, part]
        weight[shift : shift + columns] += window[part] ** 2
    cut = fft // 2 if edge is None else edge
    inside = slice(cut, wave.size - cut)
    return np.asarray(wave.ravel()[inside] / weight.ravel()[inside])
