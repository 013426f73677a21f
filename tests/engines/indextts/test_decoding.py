"""Decoding in batches that grow and shrink: everybody gets what they would get alone."""

import numpy as np
import pytest

from engines.errors import Busy
from engines.indextts.decoding import Decoder
from engines.indextts.gpt import NAME, Gpt
from engines.indextts.graphs.gpt import build
from engines.indextts.layout import Release
from engines.indextts.sampling import Sampling
from engines.indextts.tables import Tables
from models.cache import Cache
from tests.engines.indextts.tiny_gpt import make, sizes_of

GREEDY = Sampling(temperature=0, repetition_penalty=1)
DRAWN = Sampling(temperature=1.5, top_k=0, top_p=0.95, repetition_penalty=1.5)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return make(tmp_path_factory.mktemp("gpt"), sizes_of(layers=2, width=48, heads=3, codes=50, longest=60))


@pytest.fixture(scope="module")
def stopping(tmp_path_factory):
    """A model that likes to stop."""
    return make(tmp_path_factory.mktemp("gpt"), sizes_of(codes=50), stops=1)


def _prefix(tiny, length, seed=0):
    return np.random.default_rng([length, seed]).standard_normal((length, tiny.sizes.width)).astype(np.float32)


def _finish(decoder):
    while decoder.running:
        decoder.step()


def _alone(tiny, prefix, sampling, seed):
    decoder = Decoder(tiny.gpt, sampling.beams)
    sequence = decoder.add(prefix, sampling, seed)
    _finish(decoder)
    return sequence.codes, decoder.latents(sequence)


# against the reference


@pytest.mark.parametrize(
    ("name", "penalty", "beams"),
    [("greedy_tokens", 1.0, 1), ("greedy_tokens_reppen10", 10.0, 1), ("beam3_tokens_reppen10_lenpen0", 10.0, 3)],
)
def test_codes_are_the_references(oracle, tmp_path, name, penalty, beams):
    release, golden = Release.find(oracle.checkpoints), oracle.golden("gpt")
    build(release.tensors("gpt"), release.sizes, "fp32").save(tmp_path / NAME)
    gpt = Gpt(tmp_path, release.sizes, Tables.of_release(Release.find(oracle.checkpoints)))
    expected = golden[name].tolist()
    decoder = Decoder(gpt, beams)
    sampling = Sampling(temperature=0, repetition_penalty=penalty, beams=beams, max_codes=len(expected))
    sequence = decoder.add(golden["prefix_embeds"][0], sampling, seed=0)
    _finish(decoder)
    assert sequence.codes == expected
    if name == "greedy_tokens":
        np.testing.assert_allclose(decoder.latents(sequence), oracle.golden("latent")["latent"][0], atol=1e-4)


# without it


def test_scores_of_a_batch_are_those_of_each_alone(tiny):
    prefixes = [_prefix(tiny, length) for length in (9, 30, 17, 4)]
    together = Decoder(tiny.gpt, 4)
    sequences = [together.add(one, GREEDY, 0) for one in prefixes]
    alone = [Decoder(tiny.gpt, 1) for _ in prefixes]
    singles = [decoder.add(one, GREEDY, 0) for decoder, one in zip(alone, prefixes, strict=True)]
    for _ in range(20):
        together.step()
        for decoder in alone:
            decoder.step()
        for one, single in zip(sequences, singles, strict=True):
            np.testing.assert_allclose(one._logits, single._logits, atol=1e-4)


def test_decoding_is_what_the_whole_model_computes(tiny):
    prefix = _prefix(tiny, 12)
    codes, latents = _alone(tiny, prefix, Sampling(temperature=0, repetition_penalty=1, max_codes=10), 0)
    gpt, start = tiny.gpt, tiny.sizes.start_code
    for place, code in enumerate(codes):  # decoding leaves out position 1
        spoken = gpt.embedded([start, *codes[:place]], [0, *range(2, place + 2)])
        _, scores = tiny.forward(np.concatenate([prefix, spoken]))
        scores[-1, start] = -np.inf
        assert code == scores[-1].argmax()
    states, _ = tiny.forward(np.concatenate([prefix, gpt.embedded([start, *codes[:-1]], range(len(codes)))]))
    np.testing.assert_allclose(latents, states[len(prefix) :], atol=1e-4)


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN])
def test_who_comes_and_goes_changes_nothing_for_the_others(stopping, sampling):
    random = np.random.default_rng(3)
    decoder = Decoder(stopping.gpt, 4)
    kept, dropped = {}, []
    for number in range(14):
        while not decoder.room:
            decoder.step()
        prefix = _prefix(stopping, int(random.integers(3, 40)), number)
        sequence = decoder.add(prefix, sampling, seed=number)
        kept[sequence] = (prefix, number)
        for _ in range(int(random.integers(0, 9))):
            decoder.step()
        if number % 4 == 3 and decoder.running:
            dropped.append(decoder.running[0])
            decoder.drop(decoder.running[0])
    _finish(decoder)
    assert len(dropped) > 1
    assert len({len(sequence.codes) for sequence in kept}) > 3
    for sequence in kept.keys() - set(dropped):
        codes, latents = _alone(stopping, kept[sequence][0], sampling, kept[sequence][1])
        assert sequence.codes == codes
        np.testing.assert_allclose(decoder.latents(sequence), latents, atol=1e-4)


@pytest.mark.parametrize("temperature", [0, 1])
def test_beams_beside_others_are_as_alone(stopping, temperature):
    beams = Sampling(temperature=temperature, top_k=20, top_p=0.9, repetition_penalty=2, beams=3, max_codes=40)
    wanted = [(_prefix(stopping, 7), beams, 1), (_prefix(stopping, 21), DRAWN, 2), (_prefix(stopping, 15), beams, 3)]
    decoder = Decoder(stopping.gpt, 7)
    sequences = []
    for prefix, sampling, seed in wanted:
        sequences.append(decoder.add(prefix, sampling, seed))
        decoder.step()
    assert decoder.room == 0
    _finish(decoder)
    for sequence, one in zip(sequences, wanted, strict=True):
        codes, latents = _alone(stopping, *one)
        assert sequence.codes == codes
        np.testing.assert_allclose(decoder.latents(sequence), latents, atol=1e-4)


def test_beams_hold_what_their_codes_say(tiny):
    """The scores of each beam, after many changes of place, are those of its whole history computed anew."""
    prefix, gpt = _prefix(tiny, 8), tiny.gpt
    decoder = Decoder(gpt, 4)
    sequence = decoder.add(prefix, Sampling(temperature=3, top_k=0, top_p=1, repetition_penalty=1, beams=4), 0)
    moves = 0
    for _ in range(15):
        before = [list(one) for one in sequence._histories]
        decoder.step()
        moves += sum(new[:-1] != old for new, old in zip(sequence._histories, before, strict=True))
    assert moves > 10
    for history, logits in zip(sequence._histories, sequence._logits, strict=True):
        spoken = gpt.embedded([tiny.sizes.start_code, *history], [0, *range(2, len(history) + 2)])
        _, scores = tiny.forward(np.concatenate([prefix, spoken]))
        np.testing.assert_allclose(logits, scores[-1], atol=1e-4)


def test_latents_can_be_asked_for_while_it_runs(tiny):
    sampling = Sampling(max_codes=20, repetition_penalty=1)
    _, whole = _alone(tiny, _prefix(tiny, 10), sampling, 4)
    decoder = Decoder(tiny.gpt, 2)
    decoder.add(_prefix(tiny, 30), GREEDY, 0)
    sequence = decoder.add(_prefix(tiny, 10), sampling, 4)
    pieces = []
    while not sequence.finished:
        for _ in range(6):
            decoder.step()
        pieces.append(decoder.latents(sequence))
    assert len(pieces) > 2
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-4)


def test_a_step_gives_those_who_finished(stopping):
    decoder = Decoder(stopping.gpt, 3)
    for number in range(3):
        decoder.add(_prefix(stopping, 5, number), DRAWN, number)
    finished = []
    while decoder.running:
        some = decoder.step()
        assert all(one.finished and one not in decoder.running for one in some)
        finished += some
    assert len(finished) == len(set(finished)) == 3


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("temperature", [0, 1])
def test_who_stops_at_once_has_said_nothing(tmp_path, beams, temperature):
    stops = make(tmp_path, sizes_of(), stops=100)
    sampling = Sampling(temperature=temperature, repetition_penalty=1, beams=beams)
    codes, latents = _alone(stops, _prefix(stops, 6), sampling, 0)
    assert codes == []
    assert latents.shape == (0, stops.sizes.width)


def test_rows_are_free_as_soon_as_somebody_leaves(tiny):
    decoder = Decoder(tiny.gpt, 4)
    first = decoder.add(_prefix(tiny, 5), Sampling(beams=3), 0)
    decoder.add(_prefix(tiny, 5), DRAWN, 0)
    with pytest.raises(Busy, match="1 rows are wanted and 0 are free"):
        decoder.add(_prefix(tiny, 5), DRAWN, 0)
    decoder.drop(first)
    assert decoder.room == 3
    decoder.drop(first)
    assert decoder.room == 3


def test_memory_follows_the_sequences(tiny):
    decoder = Decoder(tiny.gpt, 8)
    first = decoder.add(_prefix(tiny, 5), DRAWN, 0)
    assert (decoder._cache.rows, decoder._cache.positions) == (1, 256)
    others = [decoder.add(_prefix(tiny, length), DRAWN, 0) for length in (5, 300, 999)]
    assert (decoder._cache.rows, decoder._cache.positions) == (4, 1024)
    for sequence in (first, *others):
        decoder.drop(sequence)
    assert decoder._cache is None
    three = Decoder(tiny.gpt, 3)
    for _ in range(3):
        three.add(_prefix(tiny, 5), DRAWN, 0)
    assert three._cache.rows == 3


def test_nobody_goes_beyond_the_positions_there_are(tiny):
    for prefix in (5, 400):
        codes, _ = _alone(tiny, _prefix(tiny, prefix), Sampling(repetition_penalty=1), 0)
        assert len(codes) == tiny.gpt.longest


@pytest.mark.parametrize("grown", range(4))
def test_too_little_memory_for_one_more_ends_nobody_else(tiny, monkeypatch, grown):
    prefixes = _prefix(tiny, 7), _prefix(tiny, 9, seed=1)
    expected, _ = _alone(tiny, prefixes[0], DRAWN, 1)
    decoder = Decoder(tiny.gpt, 2)
    first = decoder.add(prefixes[0], DRAWN, 1)
    decoder.step()
    empty, asked = Cache._empty, []

    def scarce(cache):
        asked.append(1)
        if len(asked) > grown:
            raise MemoryError
        return empty(cache)

    with monkeypatch.context() as patch:
        patch.setattr(Cache, "_empty", scarce)
        with pytest.raises(MemoryError):
            decoder.add(prefixes[1], DRAWN, 2)
    assert (decoder.running, decoder.room) == ([first], 1)
    decoder.step()
    second = decoder.add(prefixes[1], DRAWN, 2)
    _finish(decoder)
    assert first.codes == expected
    assert second.codes == _alone(tiny, prefixes[1], DRAWN, 2)[0]
