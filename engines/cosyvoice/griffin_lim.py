"""A light vocoder in the place of the model's own: a wave whose spectra have the mel's magnitudes, by trial and error.

The phases that a mel lacks are guessed and made to agree with one another (Griffin and Lim, 1984; quicker as Perraudin
et al., 2013). No network is asked and none is loaded. It sounds metallic, and is far from what HiFT makes of the same
mel: it is for machines that have no time for better, and for listening to a mel alone.
"""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import numpy.typing as npt

from engines.cosyvoice.sizes import VocoderSizes
from engines.cosyvoice.vocoder import Chance
from models.mel import MelScale
from models.spectrum import istft, stft

Array = npt.NDArray[np.float32]

#: what the published model's mels go up to, and how many hops a frame has: `feat_extractor` of its configuration
_HIGHEST_HZ = 8000.0
_HOPS = 4
#: tries at the phases; of these many that the caller is asked in between
ROUNDS, _AT_ONCE = 32, 8
#: how far each try goes on in the direction of the last
_MOMENTUM = 0.99
#: tries at the magnitudes of all frequencies that bands so loud may have
_FIT_ROUNDS = 16
_TINY = np.float32(1e-8)


class GriffinLim:
    """To be used as `Vocoder` is: griffin_lim.follow(mel, griffin_lim.draw(frames, random))"""

    def __init__(self, sizes: VocoderSizes, rounds: int = ROUNDS) -> None:
        hop = sizes.frame_samples
        self.scale = MelScale(sizes.sample_rate, _HOPS * hop, hop, sizes.mels, 0.0, _HIGHEST_HZ)
        self.frame_samples = hop
        self._limit, self._rounds = sizes.limit, rounds

    def draw(self, frames: int, random: np.random.Generator) -> Chance:
        """Phases to begin with."""
        bins = self.scale.fft // 2 + 1
        return Chance(random.uniform(-np.pi, np.pi, (bins, frames)), np.empty((0, 0), np.float32))

    def follow(
        self, mel: Array, chance: Chance, begun: Array | None = None
    ) -> Generator[None, None, tuple[Array, Array]]:
        """mel [mels, frames] -> wave [samples], and silence for the source that this vocoder has none of. Stops now and
        then, for other work or for good."""
        del begun
        fft, hop, edge = self.scale.fft, self.scale.hop, self.scale.edge
        magnitudes = self.magnitudes(mel)
        spectra = magnitudes * np.exp(1j * chance.phases).astype(np.complex64)
        last = np.zeros_like(spectra)
        for turn in range(self._rounds):
            if turn % _AT_ONCE == 0:
                yield
            agreed = stft(istft(spectra, fft, hop, edge), fft, hop, edge)
            ahead = agreed + np.float32(_MOMENTUM) * (agreed - last)
            spectra, last = magnitudes * (ahead / np.maximum(np.abs(ahead), _TINY)), agreed
        wave = np.clip(istft(spectra, fft, hop, edge), -self._limit, self._limit).astype(np.float32)
        return wave, np.zeros_like(wave)

    def magnitudes(self, mel: Array) -> Array:
        """[fft // 2 + 1, frames], none below 0, whose bands are as loud as the mel's: the nearest such by the rule of
        Lee and Seung, 1999."""
        wanted, bands = np.exp(mel), self.scale.bands.astype(np.float32)
        found: Array = bands.T @ wanted
        for _ in range(_FIT_ROUNDS):
            found *= (bands.T @ wanted) / np.maximum(bands.T @ (bands @ found), _TINY)
        return found
