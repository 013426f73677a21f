"""From a segment's codes to its audio, piece by piece: semantic features, mel frames, wave.

A segment made in one piece is made as the release makes it. A further piece goes on where the last one ended: the
solver is given the end of its mel as if it belonged to the voice's recording, and the vocoder keeps the frames that it
must see. Does a fraction of a second's work at a time; knows nothing about requests or other segments.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engines.indextts.flow import Flow
from engines.indextts.length_regulator import LengthRegulator, frames_of
from engines.indextts.tables import Tables
from engines.indextts.vocoder import PIECE_FRAMES, Vocoder
from engines.indextts.voice import VoiceBundle

Array = NDArray[np.float32]

#: seconds of the last piece's mel that the solver is told of, at most half of all that it is told of
TAIL_S = 0.5


class Piece(NamedTuple):
    """Codes `start` to `stop` of a segment, of which `margin` further ones may be looked at on either side.

    `last`: the segment ends with it, and nothing lies behind.
    """

    start: int
    stop: int
    margin: int
    last: bool


@dataclass(frozen=True, slots=True)
class Acoustics:
    """The networks behind the GPT, and how they are asked."""

    tables: Tables
    regulator: LengthRegulator
    flow: Flow
    vocoder: Vocoder
    frames_per_s: float
    steps: int
    cfg: float
    cfg_until: float = 1.0
    prompt_frames: int = sys.maxsize  # that the solver goes on from: a recording's end, and a piece's behind it

    def features(self, latents: Array, codes: Sequence[int]) -> Array:
        """latents [n, D] and the codes they belong to -> semantic features [n, C]."""
        tables = self.tables
        known = tables.semantic_table[np.asarray(codes)]
        return np.asarray(latents @ tables.latent_weight.T + tables.latent_bias + known, np.float32)


class Voicing:
    """One segment's audio. Equal codes, voice, speed and seed give equal audio."""

    def __init__(self, acoustics: Acoustics, voice: VoiceBundle, speed: float, seed: int) -> None:
        self._acoustics, self._voice, self._speed = acoustics, voice, speed
        self._noise = np.random.default_rng(seed)
        self._vocoder = acoustics.vocoder.speaking()
        self._latents = np.empty((0, acoustics.tables.latent_weight.shape[1]), np.float32)
        self._condition, self._mel = voice.prompt[:0], voice.mel[:, :0]  # the end of the last piece

    def speak(self, piece: Piece, codes: Sequence[int], latents: Array) -> Iterator[Array | None]:
        """The wave of a piece, -1 to 1; None after each slice of work that gave none.

        codes are the segment's from its beginning, up to the piece's margin; latents [n, D] those of the codes that
        were not among them when the piece before was spoken.
        """
        self._latents = np.concatenate([self._latents, latents])
        condition = self._regulated(piece, codes)
        yield None
        if len(condition):
            mel = yield from self._solved(condition)
            *some, end = np.array_split(mel, max(1, round(mel.shape[1] / PIECE_FRAMES)), axis=1)
            for part in some:
                yield self._vocoder.push(part)
            yield self._vocoder.push(end, last=piece.last)
        elif piece.last:
            yield self._vocoder.finish()

    def _regulated(self, piece: Piece, codes: Sequence[int]) -> Array:
        """The estimator's condition [frames, F] for the piece's frames."""
        low, high = max(0, piece.start - piece.margin), min(len(codes), piece.stop + piece.margin)
        features = self._acoustics.features(self._latents[low:high], codes[low:high])
        before = self._frames(low)
        regulated = self._acoustics.regulator(features, max(1, self._frames(high) - before))
        return regulated[self._frames(piece.start) - before : self._frames(piece.stop) - before]

    def _frames(self, codes: int) -> int:
        return frames_of(codes, self._speed) if codes else 0

    def _solved(self, condition: Array) -> Generator[None, None, Array]:
        """The piece's mel [mels, frames]."""
        acoustics, voice = self._acoustics, self._voice
        since = max(0, voice.mel.shape[1] + self._mel.shape[1] - acoustics.prompt_frames)
        known_mel = np.concatenate([voice.mel[:, since:], self._mel], axis=1)
        condition_of_all = np.concatenate([voice.prompt[since:], self._condition, condition])
        noise = np.zeros((len(known_mel), len(condition_of_all)), np.float32)
        noise[:, known_mel.shape[1] :] = self._noise.standard_normal((len(condition), len(known_mel)), np.float32).T
        mel = yield from acoustics.flow.follow(
            condition_of_all,
            known_mel,
            voice.style,
            noise,
            acoustics.steps,
            acoustics.cfg,
            acoustics.cfg_until,
        )
        tail = max(1, min(round(TAIL_S * acoustics.frames_per_s), acoustics.prompt_frames // 2))
        self._condition, self._mel = condition[-tail:], mel[:, -tail:]
        return mel
