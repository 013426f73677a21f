"""From speech tokens to a wave, as a whole, or piece by piece while the tokens still come.

Pieces overlap, three times over: the flow begins with the noise and the condition that the last piece ended with, the
ends of mels fade into each other, and so do the ends of waves, whose source goes on as it was. So does CosyVoice's own
inference, which this follows. Stops between pieces of work, a fraction of a second each. Knows nothing about requests.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from engines.cosyvoice.flow import EDGE_TOKENS, Edges, Flow
from engines.cosyvoice.vocoder import Chance
from models.resample import stretch
from models.seams import cross_fade, hamming

Array = npt.NDArray[np.float32]

#: tokens by which a stream goes on at each piece: two seconds
HOP_TOKENS = 100
#: frames of the last piece that the vocoder is given once more
CONTEXT_FRAMES = 20


class Voicer(Protocol):
    """Makes waves of mels: the model's own vocoder, or a lighter one."""

    frame_samples: int

    def draw(self, frames: int, random: np.random.Generator) -> Chance: ...

    def follow(
        self, mel: Array, chance: Chance, begun: Array | None = None
    ) -> Generator[None, None, tuple[Array, Array]]:
        """As `Vocoder.follow`."""
        ...


@dataclass(frozen=True, slots=True)
class Acoustics:
    """wave = whole(acoustics.follow(tokens, speaker, np.random.default_rng(seed), speed=1.25))"""

    flow: Flow
    vocoder: Voicer

    def follow(
        self, tokens: Sequence[int], speaker: Array, random: np.random.Generator, speed: float = 1.0
    ) -> Generator[None, None, Array]:
        """The wave [samples] of a whole utterance, in -1..1; stops for other work or for good. Equal tokens, speaker,
        speed and state of `random` give an equal wave."""
        mel, _ = yield from self.mel(tokens, speaker, random)
        if speed != 1.0:
            mel = stretch(mel, max(1, int(mel.shape[1] / speed)))
        wave, _ = yield from self.vocoder.follow(mel, self.vocoder.draw(mel.shape[1], random))
        return wave

    def mel(
        self, tokens: Sequence[int], speaker: Array, random: np.random.Generator, edges: Edges | None = None
    ) -> Generator[None, None, tuple[Array, Edges]]:
        """The mel [mels, frames] of these tokens, and what the next piece begins with."""
        noise = random.standard_normal((self.flow.mels, self.flow.noise_frames(len(tokens))), np.float32)
        return (yield from self.flow.follow(tokens, speaker, noise, edges=edges))


@dataclass(frozen=True, slots=True)
class _Spoken:
    """The end of what the vocoder made last."""

    mel: Array  # [mels, CONTEXT_FRAMES]
    source: Array  # of these frames, [samples]
    wave: Array


class Stream:
    """One utterance whose tokens come one by one.

    stream = Stream(acoustics, speaker, np.random.default_rng(seed))
    for wave in stream.push(tokens): ...       # None after a piece of work that gave no wave
    for wave in stream.finish(): ...
    """

    def __init__(
        self, acoustics: Acoustics, speaker: Array, random: np.random.Generator, hop_tokens: int = HOP_TOKENS
    ) -> None:
        self._acoustics, self._speaker, self._random, self._hop = acoustics, speaker, random, hop_tokens
        self._tokens: list[int] = []  # that are not spoken, or only once
        self._edges: Edges | None = None
        self._mel: Array | None = None  # the end of the last piece's, which the next fades in from
        self._spoken: _Spoken | None = None

    def push(self, tokens: Sequence[int]) -> Iterator[Array | None]:
        """Add tokens; the waves [samples] that they complete."""
        self._tokens += tokens
        while len(self._tokens) >= self._hop + EDGE_TOKENS:
            piece = self._tokens[: self._hop + EDGE_TOKENS]
            yield from self._piece(piece, last=False)
            del self._tokens[: self._hop]

    def finish(self) -> Iterator[Array | None]:
        """Nothing more comes: the wave that is left."""
        if self._tokens:
            yield from self._piece(self._tokens, last=True)
            self._tokens = []

    def _piece(self, tokens: Sequence[int], last: bool) -> Iterator[Array | None]:
        mel, self._edges = yield from self._acoustics.mel(tokens, self._speaker, self._random, self._edges)
        if self._mel is not None:
            mel = cross_fade(self._mel, mel, *hamming(self._mel.shape[1]))
        if self._spoken is not None:
            mel = np.concatenate([self._spoken.mel, mel], axis=1)
        if not last:
            edge = self._acoustics.flow.edge_frames
            mel, self._mel = mel[:, :-edge], mel[:, -edge:]
        yield (yield from self._wave(mel, last))

    def _wave(self, mel: Array, last: bool) -> Generator[None, None, Array]:
        """The wave of these frames, of which all but the first piece's begin with the last ones of the piece before."""
        vocoder, spoken = self._acoustics.vocoder, self._spoken
        chance = vocoder.draw(mel.shape[1], self._random)
        wave, source = yield from vocoder.follow(mel, chance, None if spoken is None else spoken.source)
        if spoken is not None:
            wave = cross_fade(spoken.wave, wave, *hamming(len(spoken.wave)))
        if last:
            return wave
        kept = CONTEXT_FRAMES * vocoder.frame_samples
        self._spoken = _Spoken(mel[:, -CONTEXT_FRAMES:], source[-kept:], wave[-kept:])
        return wave[:-kept]
