"""Makes a wave out of mel frames, whole or piece by piece while the frames still come.

A piece is made with frames around it that it then leaves out, so that waves of pieces join into the wave of the whole
without a click. Knows nothing about what the network computes but how far it sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil, prod

import numpy as np
import numpy.typing as npt

from engines.indextts.sizes import VocoderSizes
from models.network import Network
from models.seams import cross_fade

Array = npt.NDArray[np.float32]

#: frames that are made at once. The network spreads a frame out to tens of kilobytes, many times over: two seconds of
#: speech stay in a processor's last cache, and ten would take half as long again for each of them.
PIECE_FRAMES = 172
#: samples to each side that the activation's two filters of 12 taps see, and those of the first and last convolution
_ACTIVATION = 6
_OUTER = 3


class Vocoder:
    """vocoder = Vocoder(session, sizes.vocoder)
    wave = vocoder(mel)
    for wave in vocoder.stream(pieces): ...
    """

    def __init__(self, network: Network, sizes: VocoderSizes) -> None:
        self._network = network
        self.samples_per_frame = prod(sizes.rates)
        # What lies further away than half of the reach comes through the outermost taps of nearly every convolution:
        # with random weights that is less than a millionth of the wave.
        self.context_frames = ceil(reach_frames(sizes) / 2)

    def __call__(self, mel: Array) -> Array:
        """mel [mels, frames] -> wave [samples] in -1..1."""
        pieces = np.array_split(mel, max(1, ceil(mel.shape[1] / PIECE_FRAMES)), axis=1)
        return np.concatenate(list(self.stream(pieces)))

    def stream(self, pieces: Iterable[Array]) -> Iterator[Array]:
        """Pieces of mel [mels, any] -> pieces of wave, which joined are the wave of the joined mel."""
        speaking = self.speaking()
        for piece in pieces:
            if len(wave := speaking.push(piece)):
                yield wave
        if len(wave := speaking.finish()):
            yield wave

    def speaking(self) -> Speaking:
        """For one mel whose pieces are not all there when they are wanted."""
        return Speaking(self)

    def run(self, mel: Array) -> Array:
        """The wave of all these frames at once."""
        wave: Array = self._network.run(None, {"mel": np.ascontiguousarray(mel[None])})[0][0]
        return wave


class Speaking:
    """The wave of one mel that comes piece by piece. A frame is spoken when the `context_frames` behind it are there,
    or nothing more comes."""

    def __init__(self, vocoder: Vocoder) -> None:
        self._vocoder = vocoder
        self._mel: Array | None = None  # the frames that are still needed
        self._spoken = 0  # of these
        self._next = np.empty(0, np.float32)  # how the last piece would have gone on, one frame long

    def push(self, piece: Array, *, last: bool = False) -> Array:
        """Add frames [mels, any]; the samples that can be told now, perhaps none, and with the last piece all."""
        self._mel = piece if self._mel is None else np.concatenate([self._mel, piece], axis=1)
        return self._speak(self._mel.shape[1] - (0 if last else self._vocoder.context_frames))

    def finish(self) -> Array:
        """Nothing more comes: the samples that are left."""
        return self._speak(0 if self._mel is None else self._mel.shape[1])

    def _speak(self, stop: int) -> Array:
        """The wave up to a frame, made with all that is there."""
        if self._mel is None or stop <= self._spoken:
            return np.empty(0, np.float32)
        rate = self._vocoder.samples_per_frame
        made = self._vocoder.run(self._mel)
        wave = made[self._spoken * rate : stop * rate]
        # In 8 bit, pieces are rounded by scales of their own: the one fades into the other.
        wave = cross_fade(self._next, wave, np.linspace(0, 1, len(self._next), dtype=np.float32))
        self._next = made[stop * rate : (stop + 1) * rate].copy()
        dropped = max(0, stop - self._vocoder.context_frames)
        self._mel, self._spoken = self._mel[:, dropped:], stop - dropped
        return wave


def reach_frames(sizes: VocoderSizes) -> int:
    """How many frames to each side a sample depends on. Every convolution and activation sees half its length to each
    side, at the rate at which it runs."""
    blocks = list(zip(sizes.block_kernels, sizes.block_dilations, strict=True))
    convolutions = max(sum((kernel - 1) // 2 * (1 + dilation) for dilation in steps) for kernel, steps in blocks)
    activations = max(2 * len(steps) * _ACTIVATION for _, steps in blocks)
    reach, rate = float(_OUTER), 1
    for factor, kernel in zip(sizes.rates, sizes.kernels, strict=True):
        reach += kernel / factor / 2 / rate
        rate *= factor
        reach += (convolutions + activations) / rate
    return ceil(reach + (_OUTER + _ACTIVATION) / rate)
