"""The text encoder and the language model against the reference tensors."""

import numpy as np
import pytest

from engines.cosyvoice.decoding import speech_tokens
from engines.cosyvoice.layout import Release
from engines.cosyvoice.lm import Decoding
from tests.engines.cosyvoice.lm import open_lm

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def lm(oracle, tmp_path_factory):
    return open_lm(Release.find(oracle.folder), tmp_path_factory.mktemp("lm"))


def _same(got, expected):
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)


def _log_odds(scores):
    scores = scores.astype(np.float64)
    return scores - scores.max() - np.log(np.exp(scores - scores.max()).sum())


def _keys_and_values(decoding, layers, head_width):
    arrays = [array[0, :, : decoding.filled, :head_width] for array in decoding.cache.arrays]
    return [np.concatenate(arrays[2 * layer : 2 * layer + 2], axis=2) for layer in range(layers)]


def test_a_text_is_encoded_as_the_reference_does(lm, oracle):
    ids = oracle.golden("01_text_encoder")["text_ids"][0].tolist()
    prefix = lm.prefix(ids, None)
    _same(prefix[1:-1], oracle.golden("01_text_encoder")["affine_out"][0])


def test_what_precedes_the_tokens_is_the_references(lm, oracle):
    golden = oracle.golden("02_llm_sft")
    prefix = lm.prefix(oracle.golden("01_text_encoder")["text_ids"][0].tolist(), golden["spk_embedding"][0])
    _same(prefix, golden["lm_input"][0])
    _same(prefix[1], golden["spk_proj"][0, 0])


def test_a_speakers_length_does_not_matter(lm, oracle):
    speaker = oracle.golden("02_llm_sft")["spk_embedding"][0]
    _same(lm.prefix([1], 7 * speaker), lm.prefix([1], speaker))


def test_steps_and_what_they_keep_are_the_references(lm, oracle):
    golden = oracle.golden("02_llm_sft")
    layers, _, _, both = golden["prefill_att_cache"].shape
    decoding = Decoding(lm)
    scores = [decoding.feed(golden["lm_input"][0])]
    _same(_keys_and_values(decoding, layers, both // 2), golden["prefill_att_cache"])
    scores += [decoding.token(token) for token in golden["forced_tokens"]]
    _same([_log_odds(one) for one in scores], golden["step_logp"])
    _same(_keys_and_values(decoding, layers, both // 2), golden["final_att_cache"])


def test_another_recording_as_a_prompt_is_the_references(lm, oracle):
    golden = oracle.golden("03_llm_zero_shot")
    speaker = oracle.golden("02_llm_sft")["spk_embedding"][0]
    prompt = [golden[name][0].tolist() for name in ("prompt_text_ids", "prompt_speech_tokens")]
    prefix = lm.prefix(golden["text_ids"][0].tolist(), speaker, *prompt)
    _same(prefix, golden["lm_input"][0])
    decoding = Decoding(lm)
    scores = [decoding.feed(prefix), *(decoding.token(token) for token in golden["forced_tokens"])]
    _same([_log_odds(one) for one in scores], golden["step_logp"])


@pytest.mark.parametrize("name", ["10_e2e", "11_e2e_speed"])
def test_a_text_becomes_the_references_tokens(lm, oracle, name):
    golden = oracle.golden(name)
    draws = iter(golden["u_sequence"])
    speaker = Release.find(oracle.folder).speakers()[str(golden["speaker"])]
    tokens = list(speech_tokens(lm, golden["text_ids"][0].tolist(), speaker, lambda: next(draws)))
    assert tokens == golden["tokens"][0].tolist()
    assert not list(draws)


def test_rows_fed_at_once_or_one_by_one_are_the_same(lm, oracle):
    rows = oracle.golden("02_llm_sft")["lm_input"][0]
    whole, single, parts = Decoding(lm), Decoding(lm), Decoding(lm)
    expected = whole.feed(rows)
    for row in rows:
        last = single.feed(row[None])
    parts.feed(rows[:4])
    _same(last, expected)
    _same(parts.feed(rows[4:]), expected)


def test_a_sequence_outgrows_its_buffers(lm):
    """A step behind more rows than there was room for is what it is when all are fed at once."""
    rows = np.random.default_rng(0).standard_normal((600, lm.sizes.decoder.input_width)).astype(np.float32)
    grown, whole = Decoding(lm), Decoding(lm)
    for row in rows:
        last = grown.feed(row[None])
    _same(last, whole.feed(rows))


@pytest.mark.parametrize(("precision", "bound"), [("int8", 0.1), ("int8_blocks", 0.1)])
def test_small_weights_stay_near_the_reference(oracle, tmp_path, precision, bound):
    small = open_lm(Release.find(oracle.folder), tmp_path, precision)
    golden = oracle.golden("02_llm_sft")
    prefix = small.prefix(oracle.golden("01_text_encoder")["text_ids"][0].tolist(), golden["spk_embedding"][0])
    scores, expected = _log_odds(Decoding(small).feed(prefix)), golden["step_logp"][0]
    assert np.linalg.norm(scores - expected) < bound * np.linalg.norm(expected - expected.mean())
