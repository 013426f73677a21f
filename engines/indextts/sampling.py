"""Chooses the next code: repetition penalty, temperature, the k likeliest, the likeliest up to a probability of p.

The same arithmetic, in the same order, as the transformers library's generation has it, on the few candidates that are
left instead of on the whole vocabulary. Knows nothing about the model whose scores these are.
Keskar et al., arXiv:1909.05858 (penalty); Fan et al., arXiv:1805.04833 (top-k); Holtzman et al.,
arXiv:1904.09751 (top-p).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating]
Codes = npt.NDArray[np.intp]

#: what the release tells its generation that the text was: a row of these, which the penalty therefore finds repeated
PROMPT_CODE = 1


@dataclass(frozen=True, slots=True)
class Sampling:
    """How codes are chosen. With more than one beam, see `beam`; the release's own default is 3."""

    temperature: float = 0.8  # 0: the likeliest one always
    top_k: int = 30  # 0: all
    top_p: float = 0.8  # 1: all
    repetition_penalty: float = 10.0  # 1: none
    beams: int = 1
    length_penalty: float = 0.0  # of beams: the power of its length that a hypothesis' score is divided by
    max_codes: int = 1500


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How many codes there are, and the two that are none of speech."""

    codes: int
    start: int
    stop: int

    def said_at_first(self) -> npt.NDArray[np.bool_]:
        """[codes]: which of them the penalty finds in what came before the first one, but for the start code, which is
        never chosen."""
        said = np.zeros(self.codes, np.bool_)
        said[PROMPT_CODE] = True
        return said


class Search(Protocol):
    """What turns scores into codes, step by step."""

    #: rows of scores that `advance` takes
    rows: int

    @property
    def codes(self) -> list[int]:
        """What was chosen, without the stop code. A search with beams knows it at its end only."""
        ...

    @property
    def stopped(self) -> bool:
        """Did the model end them, by the stop code; else they are cut off at the limit, or not at their end."""
        ...

    def advance(self, logits: Scores) -> tuple[list[int], list[int]] | None:
        """Take the scores [rows, codes] of the next code.

        Gives the row that each row goes on from and the code that it goes on with; None: that was the last one.
        """
        ...


class Sampler:
    """One row: draws a code from what the settings leave, or takes the likeliest."""

    rows = 1

    def __init__(self, sampling: Sampling, vocabulary: Vocabulary, limit: int, seed: int) -> None:
        self.codes: list[int] = []
        self.stopped = False
        self._sampling = sampling
        self._vocabulary = vocabulary
        self._limit = limit
        self._said = vocabulary.said_at_first()
        self._random = np.random.default_rng(seed)

    def advance(self, logits: Scores) -> tuple[list[int], list[int]] | None:
        code = self._choose(logits[0])
        if code == self._vocabulary.stop:
            self.stopped = True
            return None
        self.codes.append(code)
        self._said[code] = True
        return ([0], [code]) if len(self.codes) < self._limit else None

    def _choose(self, logits: Scores) -> int:
        scores = penalised(logits, self._said, self._sampling.repetition_penalty)
        scores[self._vocabulary.start] = -np.inf
        if self._sampling.temperature == 0:
            return int(scores.argmax())
        codes, kept = likely(scores, self._sampling)
        # In the order of codes, not of scores: when rounding lets two of nearly equal scores change places, as another
        # batch may, then the same random number still means the same code.
        steps = np.cumsum(np.exp(kept - kept.max()))
        place = np.searchsorted(steps, self._random.random() * steps[-1], side="right")
        return int(codes[min(place, len(codes) - 1)])


def penalised(scores: Scores, said: npt.NDArray[np.bool_], penalty: float) -> Scores:
    """A copy of the scores [codes] in which those of codes that were said are made worse: divided by the penalty when
    positive, multiplied when negative."""
    scores = scores.copy()
    codes = np.flatnonzero(said)
    chosen = scores[codes]
    scores[codes] = np.where(chosen < 0, chosen * penalty, chosen / penalty)
    return scores


def likely(scores: Scores, sampling: Sampling, least: int = 1) -> tuple[Codes, Scores]:
    """The codes that temperature, top-k and top-p leave, at least `least` of them, and their scores over temperature.

    scores [codes]; -inf: out of the question. Codes come in ascending order. Equal scores stay or go together in top-k.
    """
    codes = np.flatnonzero(scores > -np.inf)
    count = max(sampling.top_k, least)
    if sampling.top_k > 0 and count < len(codes):
        codes = np.flatnonzero(scores >= np.partition(scores, -count)[-count])
    kept = scores[codes] / sampling.temperature
    if sampling.top_p < 1:
        order = np.argsort(kept)
        odds = np.exp(kept[order] - kept[order[-1]])
        # What the unlikeliest ones together have of the probability, up to 1 - p, goes.
        gone = np.cumsum(odds / odds.sum()) <= 1 - sampling.top_p
        gone[-least:] = False
        left = np.sort(order[~gone])
        codes, kept = codes[left], kept[left]
    return codes, kept
