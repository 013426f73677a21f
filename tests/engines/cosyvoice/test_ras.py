"""The choice of tokens against the reference, and where the rules end a sequence."""

import numpy as np

from engines.cosyvoice.layout import Release
from engines.cosyvoice.ras import Sampler, choose
from engines.cosyvoice.sizes import RasSizes

RAS = RasSizes(top_p=0.8, top_k=3, window=4, repetitions=0.25)
END = 5


def _scores(*odds):
    with np.errstate(divide="ignore"):
        return np.log(np.array(odds, np.float32))


def test_every_choice_is_the_references(oracle):
    golden, sizes = oracle.golden("04_sampling"), Release.find(oracle.folder).sizes.lm
    for case, expected in enumerate(golden["token"]):
        draws = iter([golden["u_nucleus"][case], golden["u_random"][case]])
        scores = golden["logp"][case].copy()
        if golden["ignore_eos"][case]:
            scores[sizes.end] = -np.inf
        said = golden["history"][case, : golden["history_len"][case]].tolist()
        assert choose(scores, said, sizes.ras, draws.__next__) == expected, case


def test_only_the_likeliest_are_drawn_at_first():
    scores = _scores(0.5, 0.2, 0.15, 0.1, 0.05)
    drawn = {choose(scores, [], RAS, lambda at=at: at) for at in np.arange(0, 1, 0.01)}
    assert drawn == {0, 1, 2}  # 0.7 is below top_p, 0.85 no more


def test_no_more_than_top_k_are_drawn_at_first():
    drawn = {choose(_scores(*[0.2] * 5), [], RAS, lambda at=at: at) for at in np.arange(0, 1, 0.01)}
    assert drawn == {0, 1, 2}


def test_what_was_just_said_is_drawn_anew_from_all_others():
    draws = iter([0.0, 0.999])
    assert choose(_scores(0.9, 0.05, 0.05), [0], RAS, lambda: next(draws)) == 2


def test_what_was_said_longer_ago_may_come_again():
    assert choose(_scores(0.9, 0.05, 0.05), [0, 1, 1, 1, 1], RAS, lambda: 0.0) == 0


def test_a_sequence_ends_neither_too_early_nor_too_late():
    def tokens(least, most, *odds):
        draws = np.random.default_rng(0).random
        sampler = Sampler(RAS, END, least, most, draws)
        while sampler.advance(_scores(*odds)) is not None:
            pass
        assert sampler.ended == (len(sampler.tokens) < most)
        return sampler.tokens

    assert tokens(0, 9, 0.02, 0.02, 0.02, 0.02, 0.02, 0.9) == []
    assert len(tokens(3, 9, 0.001, 0.001, 0.001, 0.001, 0.001, 0.995)) == 3
    assert len(tokens(0, 9, 0.2, 0.2, 0.2, 0.2, 0.2, 0)) == 9
    assert END not in tokens(0, 9, 0.2, 0.2, 0.2, 0.2, 0.2, 0)


def test_scores_are_left_as_they_were():
    scores = _scores(0.5, 0.1, 0.1, 0.1, 0.1, 0.1)
    before = scores.copy()
    Sampler(RAS, END, 1, 1, lambda: 0.5).advance(scores)
    np.testing.assert_array_equal(scores, before)
