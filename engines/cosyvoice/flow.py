"""From speech tokens to a mel spectrogram: what the flow's encoder says of them, stretched to frames, is the condition
under which noise becomes the mel. One utterance, or a piece of one that goes on where the last one ended.

Follows CosyVoice's own inference step by step, so that equal noise gives an equal mel. Knows nothing about where tokens
come from, nor about the wave.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engines.cosyvoice.sizes import FlowSizes, Sizes
from models import flow_matching
from models.network import Network
from models.resample import stretch
from models.slices import whole

Array = npt.NDArray[np.float32]

#: tokens at both ends of a sequence that are stretched by themselves, if there are more than both ends: what pieces of
#: one utterance have in common lasts so long, and then falls on the same frames in both
EDGE_TOKENS = 20


@dataclass(frozen=True, slots=True)
class Prompt:
    """A recording that the speech goes on from: its tokens, and its mel [mels, frames]."""

    tokens: Sequence[int]
    mel: Array


@dataclass(frozen=True, slots=True)
class Edges:
    """What a piece hands on to the next: noise and condition [mels, frames] of the prompt and of its own end."""

    noise: Array
    mu: Array


@dataclass(frozen=True, slots=True)
class FlowRates:
    """How tokens are counted against frames."""

    tokens_hz: float
    sample_rate: int  # Hz
    frame_samples: int

    @classmethod
    def of(cls, sizes: Sizes) -> Self:
        return cls(sizes.flow.token_rate_hz, sizes.vocoder.sample_rate, sizes.vocoder.frame_samples)

    def frames(self, tokens: int) -> int:
        """Mel frames that last as long, rounded down in the order in which the release computes it."""
        return int(tokens / self.tokens_hz * self.sample_rate / self.frame_samples)


class Flow:
    """flow = Flow(encoder, regulator, estimator, sizes.flow, FlowRates.of(sizes))
    mel = flow.solve(tokens, speaker, noise)
    """

    def __init__(
        self,
        encoder: Network,
        regulator: Network,
        estimator: Network,
        sizes: FlowSizes,
        rates: FlowRates,
        steps: int = 10,
    ) -> None:
        self._encoder, self._regulator, self._estimator = encoder, regulator, estimator
        self._guidance = sizes.guidance
        self._times = flow_matching.cosine_times(steps)
        self.mels = sizes.mels
        self.rates = rates

    @property
    def edge_frames(self) -> int:
        """Frames that the tokens of an edge become."""
        return self.rates.frames(EDGE_TOKENS)

    def noise_frames(self, tokens: int, prompt: Prompt | None = None) -> int:
        """Frames of noise that `solve` wants for so many tokens."""
        return (0 if prompt is None else prompt.mel.shape[1]) + self.rates.frames(tokens)

    def solve(
        self,
        tokens: Sequence[int],
        speaker: Array,
        noise: Array,
        prompt: Prompt | None = None,
        edges: Edges | None = None,
    ) -> tuple[Array, Edges]:
        """As `follow`, in one go."""
        return whole(self.follow(tokens, speaker, noise, prompt, edges))

    def follow(
        self,
        tokens: Sequence[int],
        speaker: Array,
        noise: Array,
        prompt: Prompt | None = None,
        edges: Edges | None = None,
    ) -> Generator[None, None, tuple[Array, Edges]]:
        """The mel [mels, frames] of the tokens, and what the next piece is given as `edges`; stops before each piece of
        work, for other work or for good.

        speaker [width] is the voice, noise [mels, noise_frames] where to begin. Raises ValueError for too few tokens.
        """
        if not self.rates.frames(len(tokens)):
            raise ValueError(f"{len(tokens)} speech tokens are less than a frame")
        known = 0 if prompt is None else prompt.mel.shape[1]
        mu, timbre = self.condition(tokens, speaker, prompt)
        yield
        noise = np.array(noise, np.float32)
        if edges is not None:
            given = edges.mu.shape[1]
            noise[:, :given], mu[:, :given] = edges.noise, edges.mu
        told = np.zeros_like(mu)
        if prompt is not None:
            told[:, :known] = prompt.mel
        conditions: dict[str, npt.NDArray[Any]] = {"mu": mu, "prompt": told, "speaker": timbre}
        # the second row is asked without any condition, which training knew as zeros
        both = {name: np.stack([one, np.zeros_like(one)]) for name, one in conditions.items()}

        def velocity(x: Array, t: float) -> Array:
            asked = {"x": np.stack([x, x]), "t": np.array([t], np.float32), **both}
            return flow_matching.guided(self._estimator.run(None, asked)[0], self._guidance)

        mel = yield from flow_matching.follow(noise, self._times, velocity)
        kept = np.r_[:known, max(known, mu.shape[1] - self.edge_frames) : mu.shape[1]]
        return mel[:, known:], Edges(noise[:, kept], mu[:, kept])

    def condition(self, tokens: Sequence[int], speaker: Array, prompt: Prompt | None = None) -> tuple[Array, Array]:
        """mu [mels, frames] of the prompt and the tokens, and the speaker as the estimator knows it [mels]."""
        before = [] if prompt is None else list(prompt.tokens)
        rows = np.array([[*before, *tokens]], np.int64)
        feed: dict[str, npt.NDArray[Any]] = {"tokens": rows, "speaker": speaker[None]}
        content, timbre = self._encoder.run(None, feed)
        content = content[0].T
        parts = [] if prompt is None else [stretch(content[:, : len(before)], prompt.mel.shape[1])]
        stretched = np.concatenate([*parts, *self._stretched(content[:, len(before) :])], axis=1)
        mu: Array = self._regulator.run(None, {"stretched": stretched[None]})[0][0]
        return mu, timbre[0]

    def _stretched(self, content: Array) -> list[Array]:
        """[mels, tokens] -> parts [mels, frames]."""
        tokens, edge = content.shape[1], self.edge_frames
        frames = self.rates.frames(tokens)
        if tokens <= 2 * EDGE_TOKENS:
            return [stretch(content, frames)]
        return [
            stretch(content[:, :EDGE_TOKENS], edge),
            stretch(content[:, EDGE_TOKENS:-EDGE_TOKENS], frames - 2 * edge),
            stretch(content[:, -EDGE_TOKENS:], edge),
        ]
