"""Beam search, and beam sampling: several hypotheses at once, of which the best one is spoken.

Follows the transformers library's generation (4.52) for one text: the penalty acts on logarithms of probabilities,
twice as many continuations as beams are looked at, and the search ends when no running hypothesis is better than the
worst of as many finished ones as there are beams. Knows nothing about the model whose scores these are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from engines.indextts.sampling import Sampling, Scores, Vocabulary, likely, penalised

#: the score of what is no hypothesis: worse than any real one, yet still a number
_HOPELESS = -1e9
#: a beam keeps two codes, so that one is left to go on with when the other is the stop code
_LEAST = 2


@dataclass(frozen=True, slots=True)
class _Hypothesis:
    score: float
    codes: tuple[int, ...]
    said: npt.NDArray[np.bool_]  # [codes]: which of them the penalty finds repeated


@dataclass(frozen=True, slots=True)
class _Finished:
    score: float
    codes: tuple[int, ...]
    stopped: bool  # by the stop code, not at the limit


@dataclass(frozen=True, slots=True)
class _Continuation:
    score: float
    beam: int
    code: int


class BeamSearch:
    """`sampling.beams` rows. With temperature 0 the best continuations go on; else they are drawn."""

    def __init__(self, sampling: Sampling, vocabulary: Vocabulary, limit: int, seed: int) -> None:
        self.rows = sampling.beams
        self._sampling = sampling
        self._vocabulary = vocabulary
        self._limit = limit
        self._random = np.random.default_rng(seed)
        # Without drawing, none but as many as are looked at can be among the best.
        drawn = sampling.temperature > 0
        self._kept = sampling if drawn else replace(sampling, temperature=1.0, top_k=2 * self.rows, top_p=1.0)
        # All beams begin alike; without this they would stay so.
        scores = [0.0] + [_HOPELESS] * (self.rows - 1)
        self._running = [_Hypothesis(score, (), vocabulary.said_at_first()) for score in scores]
        self._finished: list[_Finished] = []  # the best first

    @property
    def codes(self) -> list[int]:
        """The best finished hypothesis; empty while there is none."""
        return list(self._finished[0].codes) if self._finished else []

    @property
    def stopped(self) -> bool:
        """Was the best one ended by its stop code."""
        return bool(self._finished) and self._finished[0].stopped

    def advance(self, logits: Scores) -> tuple[list[int], list[int]] | None:
        length = len(self._running[0].codes) + 1
        best = self._continuations(logits)
        ends = [one.code == self._vocabulary.stop or length == self._limit for one in best]
        self._finish([one for one, end in zip(best[: self.rows], ends, strict=False) if end], length)
        # As each beam has one stop code only, as many as there are beams go on, unless the limit ends them all.
        alive = sorted((one for one, end in zip(best, ends, strict=True) if not end), key=lambda one: -one.score)
        if not alive or not self._can_improve(alive[0].score, length):
            return None
        going_on = alive[: self.rows]
        self._running = [self._continued(one) for one in going_on]
        return [one.beam for one in going_on], [one.code for one in going_on]

    def _continuations(self, logits: Scores) -> list[_Continuation]:
        """Twice as many as there are beams: the best ones, best first, or drawn ones in the order of drawing."""
        beams, codes, scores = [], [], []
        for beam, (hypothesis, row) in enumerate(zip(self._running, logits, strict=True)):
            some, logs = self._candidates(row, hypothesis.said)
            beams.append(np.full(len(some), beam))
            codes.append(some)
            scores.append(logs + hypothesis.score)
        beam_of, code_of, score_of = np.concatenate(beams), np.concatenate(codes), np.concatenate(scores)
        rank = score_of
        if self._sampling.temperature:
            # The largest of logarithms plus Gumbel noise are draws without replacement (Kool et al., arXiv:1903.06059).
            rank = score_of + self._random.gumbel(size=len(score_of))
        order = np.argsort(-rank, kind="stable")[: 2 * self.rows]
        return [_Continuation(float(score_of[n]), int(beam_of[n]), int(code_of[n])) for n in order]

    def _candidates(self, logits: Scores, said: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], Scores]:
        """Codes that a beam may go on with, and the logarithms of their probabilities after the penalty."""
        shifted = logits.astype(np.float64) - logits.max()
        logs = penalised(shifted - np.log(np.exp(shifted).sum()), said, self._sampling.repetition_penalty)
        logs[self._vocabulary.start] = -np.inf
        return likely(logs, self._kept, _LEAST)

    def _finish(self, ended: list[_Continuation], length: int) -> None:
        for one in ended:
            before = self._running[one.beam].codes
            stopped = one.code == self._vocabulary.stop
            codes = before if stopped else (*before, one.code)
            self._finished.append(_Finished(one.score / length**self._sampling.length_penalty, codes, stopped))
        self._finished = sorted(self._finished, key=lambda one: -one.score)[: self.rows]

    def _can_improve(self, best: float, length: int) -> bool:
        if len(self._finished) < self.rows:
            return True
        return bool(best / length**self._sampling.length_penalty > self._finished[-1].score)

    def _continued(self, one: _Continuation) -> _Hypothesis:
        before = self._running[one.beam]
        said = before.said.copy()
        said[one.code] = True
        return _Hypothesis(one.score, (*before.codes, one.code), said)
