"""Chooses the next speech token: from the likeliest ones, and anew from all where that repeats what was just said.

Repetition-aware sampling: Chen et al., "VALL-E 2", arXiv:2406.05370, in the form that CosyVoice gave it. Knows nothing
about the model whose scores these are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from engines.cosyvoice.sizes import RasSizes

Scores = npt.NDArray[np.floating]
#: gives a number from 0 to below 1
Draw = Callable[[], float]


class Sampler:
    """One sequence. `tokens` are those that were chosen, without the end."""

    def __init__(self, sizes: RasSizes, end: int, least: int, most: int, draw: Draw) -> None:
        """end: the token that ends a sequence, not before `least` tokens; behind `most` there is none, ended or not."""
        self.tokens: list[int] = []
        self.ended = False  # by the token that does so
        self._sizes = sizes
        self._end = end
        self._least = least
        self._most = most
        self._draw = draw

    def advance(self, scores: Scores) -> int | None:
        """Take the scores [ids] of the next token; the one that was chosen, or None behind the last."""
        if len(self.tokens) >= self._most:
            return None
        if len(self.tokens) < self._least:
            scores = scores.copy()
            scores[self._end] = -np.inf
        token = choose(scores, self.tokens, self._sizes, self._draw)
        if token == self._end:
            self.ended = True
            return None
        self.tokens.append(token)
        return token


def choose(scores: Scores, said: Sequence[int], sizes: RasSizes, draw: Draw) -> int:
    """A token for the scores [ids], of which -inf are out of the question, behind the tokens `said`."""
    odds = _odds(scores)
    token = _draw_likely(odds, sizes, draw)
    if list(said[-sizes.window :]).count(token) >= sizes.window * sizes.repetitions:
        others = scores.astype(np.float64)
        others[token] = -np.inf
        token = _place(_odds(others), draw)
    return token


def _draw_likely(odds: npt.NDArray[np.float64], sizes: RasSizes, draw: Draw) -> int:
    """One of the likeliest tokens: as many as it takes to have `top_p` of the probability, but `top_k` at the most."""
    candidates = np.argsort(-odds, kind="stable")[: sizes.top_k]
    before = np.cumsum(odds[candidates]) - odds[candidates]
    candidates = candidates[before < sizes.top_p]
    return int(candidates[_place(odds[candidates], draw)])


def _odds(scores: Scores) -> npt.NDArray[np.float64]:
    """softmax, in double precision"""
    odds = np.exp(scores.astype(np.float64) - scores.max())
    return np.asarray(odds / odds.sum())


def _place(odds: npt.NDArray[np.float64], draw: Draw) -> int:
    steps = np.cumsum(odds)
    return min(int(np.searchsorted(steps, draw() * steps[-1], side="right")), len(odds) - 1)
