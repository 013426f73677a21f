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
        self._context = reach_frames(sizes)

    def __call__(self, mel: Array) -> Array:
        """mel [mels, frames] -> wave [samples] in -1..1."""
        wave: Array = self._network.run(None, {"mel": np.ascontiguousarray(mel[None])})[0][0]
        return wave

    def stream(self, pieces: Iterable[Array]) -> Iterator[Array]:
        """Pieces of mel [mels, any] -> pieces of wave, which joined are the wave of the joined mel.

        A frame is spoken when the network can see all that is to come within its reach, or the last piece is there.
        """
        mel: Array | None = None
        dropped = spoken = 0  # frames
        for piece in pieces:
            mel = piece if mel is None else np.concatenate([mel, piece], axis=1)
            ready = dropped + mel.shape[1] - self._context
            if ready > spoken:
                yield self._between(mel, spoken - dropped, ready - dropped)
                spoken = ready
                keep = max(dropped, spoken - self._context)
                mel, dropped = mel[:, keep - dropped :], keep
        if mel is not None and dropped + mel.shape[1] > spoken:
            yield self._between(mel, spoken - dropped, mel.shape[1])

    def _between(self, mel: Array, start: int, stop: int) -> Array:
        """The wave of frames start..stop, made with all that is there."""
        return self(mel)[start * self.samples_per_frame : stop * self.samples_per_frame]


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


#: samples to each side that the activation's filters see
_ACTIVATION = 6
