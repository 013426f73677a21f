"""Keys and values of 8 bit, and smaller weights for single steps: beside the whole model, near what it computes."""

import numpy as np
import pytest

from engines.indextts.decoding import Decoder
from engines.indextts.gpt import NAME, STEP_NAME, Gpt
from engines.indextts.graphs.gpt import build
from engines.indextts.graphs.int8_cache import write_int8_caches
from engines.indextts.layout import Release
from engines.indextts.sampling import Sampling
from engines.indextts.tables import Tables
from models.session import SessionError
from tests.engines.indextts.tiny_gpt import latents_of, make, sizes_of

DRAWN = Sampling(temperature=1.5, top_k=0, top_p=0.95, repetition_penalty=1.5)


@pytest.fixture(scope="module")
def sizes():
    return sizes_of(layers=3, width=64, heads=4, codes=80)


def _error(got, expected):
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


def test_an_int8_cache_stays_near_the_reference(oracle, tmp_path):
    release, golden, latent = Release.find(oracle.checkpoints), oracle.golden("gpt"), oracle.golden("latent")
    tables = Tables.of_release(Release.find(oracle.checkpoints))
    build(release.tensors("gpt"), release.sizes, "fp32").save(tmp_path / NAME)
    write_int8_caches(tmp_path, release.sizes, tables, oracle.golden("voice")["conds_latent"].shape[1])
    gpt, prefix = Gpt(tmp_path, release.sizes, tables, kv="int8"), golden["prefix_embeds"][0]
    cache = gpt.cache(len(prefix) + 1 + len(golden["greedy_tokens"]))
    _, logits = gpt.prefill(prefix, cache)
    scores = [logits]
    for place, code in enumerate(golden["greedy_tokens"].tolist()):
        embeddings = gpt.embedded([code], [int(golden["step_positions"][place + 1])])
        scores.append(gpt.run(embeddings[None], [len(prefix) + 2 + place], cache)[1][0])
    assert cache.arrays[0].dtype == np.int8
    assert 0 < _error(np.array(scores), golden["step_logits"]) < 0.02
    assert _error(latents_of(gpt, prefix, latent["codes"][0].tolist()), latent["latent"][0]) < 0.02


def test_a_batch_with_an_int8_cache_decodes_as_each_alone(tmp_path, sizes):
    tiny = make(tmp_path, sizes, stops=1)
    write_int8_caches(tmp_path, tiny.whole, tiny.tables, voice_rows=6)
    gpt = Gpt(tmp_path, tiny.whole, tiny.tables, kv="int8")
    prefixes = [np.random.default_rng(n).standard_normal((n, sizes.width)).astype(np.float32) for n in (5, 30, 17, 9)]

    def decoded(some):
        decoder = Decoder(gpt, len(some))
        sequences = []
        for number, prefix in some:
            sequences.append(decoder.add(prefix, DRAWN, number))
            decoder.step()
        while decoder.running:
            decoder.step()
        return [(one.codes, decoder.latents(one)) for one in sequences]

    numbered = list(enumerate(prefixes))
    for (codes, latents), one in zip(decoded(numbered), numbered, strict=True):
        ((alone, latents_alone),) = decoded([one])
        assert codes == alone
        np.testing.assert_allclose(latents, latents_alone, atol=1e-4)


def test_single_steps_may_have_smaller_weights(tmp_path, sizes):
    plain = make(tmp_path, sizes)
    build(plain.tensors, plain.whole, "int4").save(tmp_path / STEP_NAME)
    write_int8_caches(tmp_path, plain.whole, plain.tables, voice_rows=6)
    prefix = np.random.default_rng(0).standard_normal((20, sizes.width)).astype(np.float32)
    step = plain.gpt.embedded([3], [2])[None]

    def answers(gpt):
        cache = gpt.cache(22)
        _, first = gpt.prefill(prefix, cache)
        return first, gpt.run(step, [22], cache)[1], latents_of(gpt, prefix, [3, 4, 5])

    exact = answers(plain.gpt)
    for kv, bound in (("fp32", 1e-6), ("int8", 0.1)):
        first, second, latents = answers(Gpt(tmp_path, plain.whole, plain.tables, kv=kv))
        assert _error(first, exact[0]) < bound
        assert 0.01 < _error(second, exact[1]) < 0.5
        assert _error(latents, exact[2]) < bound


def test_a_bundle_without_int8_caches_says_so(tmp_path, sizes):
    tiny = make(tmp_path, sizes)
    with pytest.raises(SessionError, match=r"gpt_int8_cache\.onnx is missing; export"):
        Gpt(tmp_path, tiny.whole, tiny.tables, kv="int8")
