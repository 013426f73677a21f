"""Makes a wave out of mel frames, whole or piece by piece while the frames still come.

A piece is made with so many frames around it as the network can see, so that waves of pieces join into the wave of the
whole without a click. Knows nothing about what the network computes but how far it sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil, prod

import numpy as np
import numpy.typing as npt

from engines.indextts.network import Network
from engines.indextts.sizes import VocoderSizes

Array = npt.NDArray[np.float32]


class Vocoder:
    """vocoder = Vocoder(session, sizes.vocoder)
    wave = vocoder(mel)
    for wave in vocoder.stream(pieces): ...
    """

    def __init__(self, network: Network, sizes: VocoderSizes) -> None:
        self._network = network
        self.samples_per_frame = prod(sizes.rates)
        self._context = ceil(reach_frames(sizes) * _FELT)

    def __call__(self, mel: Array) -> Array:
        """mel [mels, frames] -> wave [samples] in -1..1."""
        wave: Array = self._network.run(None, {"mel": np.ascontiguousarray(mel[None])})[0][0]
        return wave

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
        return Speaking(self, self._context)


class Speaking:
    """The wave of one mel that comes piece by piece. A frame is spoken when the network can see all that is to come
    within its reach, or nothing more comes."""

    def __init__(self, vocoder: Vocoder, context: int) -> None:
        self._vocoder, self._context = vocoder, context
        self._mel: Array | None = None  # the last frames
        self._spoken = 0  # of these

    def push(self, piece: Array, *, last: bool = False) -> Array:
        """Add frames [mels, any]; the samples that can be told now, perhaps none, and with the last piece all."""
        self._mel = piece if self._mel is None else np.concatenate([self._mel, piece], axis=1)
        return self._speak(self._mel.shape[1] - (0 if last else self._context))

    def finish(self) -> Array:
        """Nothing more comes: the samples that are left."""
        return self._speak(0 if self._mel is None else self._mel.shape[1])

    def _speak(self, stop: int) -> Array:
        """The wave up to a frame, made with all that is there."""
        if self._mel is None or stop <= self._spoken:
            return np.empty(0, np.float32)
        rate = self._vocoder.samples_per_frame
        wave = self._vocoder(self._mel)[self._spoken * rate : stop * rate]
        dropped = max(0, stop - self._context)
        self._mel, self._spoken = self._mel[:, dropped:], stop - dropped
        return wave


def reach_frames(sizes: VocoderSizes) -> int:
    """How many frames to each side a sample depends on, from the kernels' lengths. Every convolution and activation
    sees half its length to each side, at the rate at which it runs."""
    reach, rate = 3.0, 1  # the first convolution sees 7 frames
    for (
        factor,
        kernel,
    ) in zip(sizes.rates, sizes.kernels, strict=True):
        reach += kernel / factor / 2 / rate
        rate *= factor
        blocks = zip(sizes.block_kernels, sizes.block_dilations, strict=True)
        convolutions = max(sum((size - 1) // 2 * (1 + step) for step in steps) for size, steps in blocks)
        activations = 2 * max(len(steps) for steps in sizes.block_dilations) * _ACTIVATION
        reach += (convolutions + activations) / rate
    return ceil(reach + (3 + _ACTIVATION) / rate)


#: part of the reach beyond which a frame does not matter: filters fall off towards their ends, and of their products
#: 3e-7 of the loudest sample were left there with weights by chance, which is rounding
_FELT = 0.5
#: samples to each side that the activation's filters see
_ACTIVATION = 6
