"""Beam search against every hypothesis there is, and what ends it."""

import itertools

import numpy as np
import pytest

from engines.indextts.beam import BeamSearch
from engines.indextts.sampling import Sampling, Vocabulary

VOCABULARY = Vocabulary(codes=6, start=4, stop=5)


def _logs(history: tuple[int, ...], sharpness: float = 3.0) -> np.ndarray:
    """A random language: logarithms of the probabilities of what follows, the start code being out of the question."""
    scores = sharpness * np.random.default_rng([7, *history]).standard_normal(6)
    return scores - np.log(np.exp(scores).sum())


def _search(sampling: Sampling, limit: int, seed: int = 0, language=_logs) -> list[int]:
    return _searched(sampling, limit, seed, language).codes


def _searched(sampling: Sampling, limit: int, seed: int = 0, language=_logs) -> BeamSearch:
    search = BeamSearch(sampling, VOCABULARY, limit, seed)
    histories: list[tuple[int, ...]] = [()] * sampling.beams
    while move := search.advance(np.stack([language(one) for one in histories])):
        histories = [(*histories[parent], code) for parent, code in zip(*move, strict=True)]
    return search


def _best(limit: int) -> list[int]:
    """Of all that end with the stop code or at the limit, the likeliest."""
    found = {}
    for length in range(limit + 1):
        for codes in itertools.product(range(4), repeat=length):
            steps = [_logs(codes[:place])[code] for place, code in enumerate(codes)]
            end = _logs(codes)[5] if length < limit else 0
            found[codes] = sum(steps) + end
    return list(max(found, key=lambda codes: found[codes]))


def _plain(beams: int, **other: float) -> Sampling:
    return Sampling(temperature=0, repetition_penalty=1, beams=beams, **other)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_with_beams_enough_the_likeliest_of_all_is_found(limit):
    assert _search(_plain(beams=3**limit + 2 * limit), limit) == _best(limit)


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_it_is_known_whether_the_best_one_was_ended_or_cut_off(limit):
    def stops_after_two(history):
        return np.where(np.arange(6) == (5 if len(history) == 2 else 0), -0.1, -30.0)

    search = _searched(_plain(beams=2), limit, language=stops_after_two)
    assert search.codes == [0] * min(limit, 2)
    assert search.stopped == (limit > 2)


def test_scores_of_any_size_mean_the_same():
    codes = _search(_plain(beams=2), 4, language=lambda history: _logs(history) + 5000)
    assert codes == _search(_plain(beams=2), 4)


def test_one_beam_takes_the_likeliest_code_each_time():
    def goes_on(history):
        return _logs(history) - 50 * (np.arange(6) == 5)

    codes = _search(_plain(beams=1), 8, language=goes_on)
    assert codes == [int(goes_on(tuple(codes[:place]))[:4].argmax()) for place in range(8)]


def test_it_goes_on_while_a_running_hypothesis_is_better_than_a_finished_one():
    def language(history):
        """Stopping at once is unlikely; whoever goes on with 0 is sure to reach the end that way."""
        logs = np.full(6, -30.0)
        logs[[0, 1, 5]] = {0: (-0.1, -9, -3)}.get(len(history), (-0.01, -9, -9 if len(history) < 3 else -0.01))
        return logs

    assert _search(_plain(beams=2), 10, language=language) == [0, 0, 0]


def test_a_length_penalty_prefers_longer_ones():
    def language(history):
        logs = np.full(6, -30.0)
        logs[[0, 5]] = np.log(0.5)
        return logs

    assert len(_search(_plain(beams=2), 6, language=language)) < 6
    assert len(_search(_plain(beams=2, length_penalty=3.0), 6, language=language)) == 6


def test_repetitions_are_penalised_on_the_logarithms_of_probabilities():
    def language(history):
        logs = np.full(6, -30.0)
        logs[[0, 2]] = [-0.2, -1.7]
        return logs

    assert _search(Sampling(temperature=0, repetition_penalty=1, beams=1), 2, language=language) == [0, 0]
    assert _search(Sampling(temperature=0, repetition_penalty=10, beams=1), 2, language=language) == [0, 2]


def test_drawn_beams_are_the_seeds_and_differ_between_seeds():
    sampling = Sampling(temperature=1, top_k=0, top_p=1, repetition_penalty=1, beams=3)
    drawn = {seed: _search(sampling, 6, seed) for seed in range(20)}
    assert all(_search(sampling, 6, seed) == codes for seed, codes in drawn.items())
    assert len({tuple(codes) for codes in drawn.values()}) > 1
    assert not any(4 in codes or 5 in codes for codes in drawn.values())


def test_the_first_draw_of_beams_follows_the_probabilities():
    odds = np.array([0.6, 0.3, 0.1])

    def language(history):
        return np.log([*odds, 1e-30, 1e-30, 1e-30])

    # The first two draws end at the limit of one code and the likelier one wins. As draws are without replacement, the
    # unlikeliest of three codes never does.
    sampling = Sampling(temperature=1, top_k=0, top_p=1, repetition_penalty=1, beams=2)
    assert {tuple(_search(sampling, 1, seed, language)) for seed in range(50)} == {(0,), (1,)}
