"""From mel frames to a wave: a pitch, a source of tones and noise at that pitch, and a network that shapes its spectra.

What adds up over time, the phase of the source, does so in double precision. Long mels go through the network in pieces
that join without a difference. Knows nothing about where the mel comes from, nor about streams.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
import numpy.typing as npt

from engines.cosyvoice.sizes import VocoderSizes
from models.network import Network
from models.slices import whole
from models.spectrum import istft, stft

Array = npt.NDArray[np.float32]

#: frames that the network is given at once, beside what it sees around them: two seconds stay in a processor's cache
PIECE_FRAMES = 172
#: of the source where there is no voice, the loudness of noise as a part of that of tones
_BREATH = 1 / 3
#: the greatest magnitude
_LOUDEST = 100.0
#: samples to each side that the network's first convolution sees, and the last one
_OUTER = 3


@dataclass(frozen=True, slots=True)
class Chance:
    """What is left to chance in a source: where each tone begins, [tones] in radians, and noise [tones, samples]."""

    phases: npt.NDArray[np.floating]
    noise: Array


class Vocoder:
    """vocoder = Vocoder(pitch, mixer, network, sizes.vocoder)
    wave, source = vocoder.speak(mel, vocoder.draw(mel.shape[1], np.random.default_rng(seed)))
    """

    def __init__(self, pitch: Network, mixer: Network, network: Network, sizes: VocoderSizes) -> None:
        self._pitch, self._mixer, self._network, self._sizes = pitch, mixer, network, sizes
        self.frame_samples = sizes.frame_samples
        self._reach_frames = reach_frames(sizes)

    def draw(self, frames: int, random: np.random.Generator) -> Chance:
        """The chance of a source of so many frames. The fundamental begins at 0."""
        tones = self._sizes.overtones + 1
        phases = np.concatenate([[0], random.uniform(-np.pi, np.pi, tones - 1)])
        return Chance(phases, random.standard_normal((tones, frames * self.frame_samples), np.float32))

    def speak(self, mel: Array, chance: Chance, begun: Array | None = None) -> tuple[Array, Array]:
        """As `follow`, in one go."""
        return whole(self.follow(mel, chance, begun))

    def follow(
        self, mel: Array, chance: Chance, begun: Array | None = None
    ) -> Generator[None, None, tuple[Array, Array]]:
        """mel [mels, frames] -> wave and source [samples]; stops between pieces of work, for other work or for good.

        begun [any]: samples that the source begins with, as what was spoken before had them.
        """
        source = self.source(self.f0(mel), chance)
        if begun is not None:
            source[: len(begun)] = begun
        yield
        spectra = stft(source, self._sizes.fft, self._sizes.hop)
        heard = np.concatenate([spectra.real, spectra.imag]).astype(np.float32)
        shaped = yield from self._shaped(mel, heard)
        return self.wave(shaped), source

    def f0(self, mel: Array) -> Array:
        """The fundamental of each frame in Hz, [frames]."""
        f0: Array = self._pitch.run(None, {"mel": np.ascontiguousarray(mel[None])})[0][0]
        return f0

    def source(self, f0: Array, chance: Chance) -> Array:
        """Tones at the pitch [frames] and its multiples where there is a voice, and noise; [samples]."""
        sizes, samples = self._sizes, self.frame_samples
        harmonics = np.arange(1, sizes.overtones + 2, dtype=np.float32)[:, None]
        turns = (f0 * harmonics / np.float32(sizes.sample_rate)).astype(np.float64)  # in each sample of a frame
        begin = np.cumsum(turns, axis=1) - turns
        turned = samples * begin[:, :, None] + turns[:, :, None] * np.arange(1, samples + 1)
        angles = 2 * np.pi * (turned % 1).reshape(len(harmonics), -1) + chance.phases[:, None]
        voiced = np.repeat(f0 > sizes.voiced_above_hz, samples)
        loudness = np.where(voiced, sizes.source_noise, sizes.source_loudness * _BREATH).astype(np.float32)
        tones = np.where(voiced, sizes.source_loudness * np.sin(angles), 0) + loudness * chance.noise
        source: Array = self._mixer.run(None, {"tones": tones.astype(np.float32)[None]})[0][0]
        return source

    def _shaped(self, mel: Array, source: Array) -> Generator[None, None, Array]:
        """What the network makes of all frames and the source's spectra, in pieces."""
        frames, reach, columns = mel.shape[1], self._reach_frames, self.frame_samples // self._sizes.hop
        borders = np.linspace(0, frames, max(1, ceil(frames / PIECE_FRAMES)) + 1).astype(int)
        made = []
        for start, stop in pairwise(borders):
            low, high = max(0, start - reach), min(frames, stop + reach)
            piece = self.shape(mel[:, low:high], source[:, low * columns : high * columns + 1])
            end = stop * columns + (1 if stop == frames else 0)  # the last column belongs to the last piece
            made.append(piece[:, start * columns - low * columns : end - low * columns])
            yield
        return np.concatenate(made, axis=1)

    def shape(self, mel: Array, source: Array) -> Array:
        """What the network makes of mel [mels, frames] and the source's spectra [fft + 2, columns], at once."""
        feed = {"mel": np.ascontiguousarray(mel[None]), "source": np.ascontiguousarray(source[None])}
        made: Array = self._network.run(None, feed)[0][0]
        return made

    def wave(self, shaped: Array) -> Array:
        """[fft + 2, columns]: logarithms of magnitudes, and what gives phases -> wave [samples]."""
        sizes, bands = self._sizes, self._sizes.fft // 2 + 1
        magnitude = np.minimum(np.exp(shaped[:bands]), np.float32(_LOUDEST))
        spectra = magnitude * np.exp(1j * np.sin(shaped[bands:]))
        wave = istft(spectra, sizes.fft, sizes.hop)
        return np.clip(wave, -sizes.limit, sizes.limit).astype(np.float32)


def reach_frames(sizes: VocoderSizes) -> int:
    """How many frames to each side a column of spectra depends on. Every convolution sees half its length to each side,
    at the rate at which it runs."""

    def block(kernel: int, dilations: tuple[int, ...]) -> int:
        return sum((kernel - 1) // 2 * (1 + dilation) for dilation in dilations)

    main = max(map(block, sizes.block_kernels, sizes.block_dilations))
    reach, rate = float(_OUTER), 1
    stages = zip(sizes.rates, sizes.kernels, sizes.source_kernels, sizes.source_dilations, strict=True)
    for factor, kernel, source_kernel, source_dilations in stages:
        before = reach + kernel / factor / 2 / rate
        rate *= factor
        # the source comes through a convolution twice as long as a step of this stage, and a block of its own
        reach = max(before, (1 + block(source_kernel, source_dilations)) / rate) + main / rate
    return ceil(reach + (_OUTER + 1) / rate)
