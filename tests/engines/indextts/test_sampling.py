"""Each stage of sampling against the reference, and the whole by its frequencies."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.indextts.sampling import Sampler, Sampling, Vocabulary, likely, penalised

#: nothing is left out, nothing is changed
PLAIN = Sampling(temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=1.0)
VOCABULARY = Vocabulary(codes=12, start=10, stop=11)


def _spread(scores, sampling, least=1):
    """What is left, as an array over the whole vocabulary with -inf elsewhere, as the reference has it."""
    whole = np.full(scores.shape, -np.inf)
    codes, kept = likely(scores, sampling, least)
    whole[codes] = kept
    return whole


def test_each_stage_is_the_references(oracle):
    golden = oracle.golden("gpt")
    said = np.zeros(golden["samp_raw"].shape[1], bool)
    said[golden["samp_history"][0]] = True
    scores = penalised(golden["samp_raw"][0], said, 10.0)
    np.testing.assert_allclose(scores, golden["samp_after_reppen"][0], atol=1e-4)
    stages = {
        "samp_after_temperature": replace(PLAIN, temperature=0.8),
        "samp_after_topk": replace(PLAIN, temperature=0.8, top_k=30),
        "samp_after_topp": replace(PLAIN, temperature=0.8, top_k=30, top_p=0.8),
    }
    for name, sampling in stages.items():
        np.testing.assert_allclose(_spread(scores, sampling), golden[name][0], atol=1e-4, err_msg=name)


def _slowly(scores, sampling, least):
    """The same by its definition: sort all, sum all."""
    scaled = scores / sampling.temperature
    if sampling.top_k:
        scaled[scaled < np.sort(scaled)[-max(sampling.top_k, least)]] = -np.inf
    order = np.argsort(scaled)
    odds = np.exp(scaled[order] - scaled.max())
    gone = np.cumsum(odds / odds.sum()) <= 1 - sampling.top_p
    gone[-least:] = False
    if sampling.top_p < 1:
        scaled[order[gone]] = -np.inf
    return scaled


@given(
    seed=st.integers(0, 999),
    temperature=st.floats(0.1, 3),
    top_k=st.integers(0, 50),
    top_p=st.floats(0.05, 1),
    least=st.integers(1, 2),
)
def test_what_is_left_is_what_sorting_everything_would_leave(seed, temperature, top_k, top_p, least):
    scores = np.random.default_rng(seed).standard_normal(40) * 3
    sampling = Sampling(temperature, top_k % 40, top_p)
    np.testing.assert_allclose(_spread(scores, sampling, least), _slowly(scores.copy(), sampling, least))


def test_what_has_just_the_probability_that_is_left_out_is_left_out():
    scores = np.array([1.0, 1.0, 2.0]) * np.log(2)  # a quarter, a quarter, a half
    assert likely(scores, replace(PLAIN, top_p=0.5))[0].tolist() == [2]
    assert likely(scores, replace(PLAIN, top_p=0.75))[0].tolist() == [1, 2]


def test_codes_are_drawn_as_often_as_their_scores_say():
    odds = np.array([0.5, 0.3, 0.2])
    logits = np.full((1, 12), -np.inf)
    logits[0, [3, 5, 7]] = np.log(odds)
    sampler = Sampler(PLAIN, VOCABULARY, 4000, seed=1)
    while sampler.advance(logits):
        pass
    counts = np.bincount(sampler.codes, minlength=12)[[3, 5, 7]] / 4000
    np.testing.assert_allclose(counts, odds, atol=0.03)


def test_equal_seeds_draw_equal_codes():
    rows = np.random.default_rng(0).standard_normal((30, 1, 12))
    rows[..., 11] = -np.inf

    def draw(seed):
        sampler = Sampler(PLAIN, VOCABULARY, 30, seed)
        for row in rows:
            sampler.advance(row)
        return sampler.codes

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)


def test_the_first_codes_are_penalised_for_what_the_prompt_seems_to_hold():
    logits = np.zeros((1, 12))
    logits[0, [1, 4]] = [5.0, 1.0]  # code 1 seems to stand in the prompt
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=10), VOCABULARY, 3, seed=0)
    for _ in range(3):
        sampler.advance(logits)
    assert sampler.codes == [4, 1, 1]


@pytest.mark.parametrize("temperature", [0, 1])
def test_the_start_code_is_never_chosen(temperature):
    logits = np.zeros((1, 12))
    logits[0, 10] = 100
    sampler = Sampler(replace(PLAIN, temperature=temperature), VOCABULARY, 50, seed=0)
    while sampler.advance(logits):
        pass
    assert 10 not in sampler.codes


def test_the_stop_code_ends_it_and_is_no_code_of_speech():
    logits = np.zeros((1, 12))
    logits[0, 3] = 1
    sampler = Sampler(Sampling(temperature=0, repetition_penalty=1), VOCABULARY, 50, seed=0)
    assert sampler.advance(logits) == ([0], [3])
    assert not sampler.stopped
    logits[0, 11] = 2
    assert sampler.advance(logits) is None
    assert sampler.codes == [3]
    assert sampler.stopped


def test_the_limit_ends_it():
    sampler = Sampler(Sampling(temperature=0), VOCABULARY, 2, seed=0)
    assert sampler.advance(np.zeros((1, 12))) is not None
    assert sampler.advance(np.zeros((1, 12))) is None
    assert len(sampler.codes) == 2
    assert not sampler.stopped, "it was cut off"
