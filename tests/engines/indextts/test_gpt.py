"""The autoregressive model against the reference tensors, and against plain numpy in sizes that these do not have."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.errors import InvalidRequest
from engines.indextts.gpt import NAME, Gpt, LatentPass
from engines.indextts.graphs.gpt import build
from engines.indextts.layout import Release
from engines.indextts.tables import Tables
from tests.engines.indextts.tiny_gpt import make, sizes_of

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def gpt(oracle, tmp_path_factory):
    release, folder = Release.find(oracle.checkpoints), tmp_path_factory.mktemp("gpt")
    build(release.tensors("gpt"), release.sizes, "fp32").save(folder / NAME)
    return Gpt(folder, release.sizes, Tables.of_release(Release.find(oracle.checkpoints)))


def _same(got, expected):
    np.testing.assert_allclose(got, expected, atol=TOLERANCE)


def _keys_and_values(cache, filled, head_width):
    arrays = [array[:, :, :filled, :head_width] for array in cache.arrays]
    return np.stack(arrays[::2]), np.stack(arrays[1::2])


# against the reference


def test_the_prefix_is_the_references(gpt, oracle):
    golden, voice = oracle.golden("gpt"), oracle.golden("voice")
    _same(gpt.prefix(voice["conds_latent"][0], golden["text_ids"][0].tolist()), golden["prefix_embeds"][0])


def test_a_prefill_is_the_references(gpt, oracle):
    golden = oracle.golden("gpt")
    embeddings = golden["inputs_embeds_with_start"]
    positions = embeddings.shape[1]
    cache = gpt.cache(positions + 3)
    hidden, logits = gpt.run(embeddings, [positions], cache)
    _same(hidden[:, -1], golden["prefill_hidden_last"])
    _same(logits, golden["prefill_logits_all"][:, -1])
    for got, expected in zip(_keys_and_values(cache, positions, gpt.sizes.head_width), ("k", "v"), strict=True):
        _same(got, golden[f"kv_prefill_{expected}"])
    for step in range(1, positions, 7):  # the scores of earlier positions are those of shorter prefills
        _, logits = gpt.run(embeddings[:, :step], [step], gpt.cache(step))
        _same(logits, golden["prefill_logits_all"][:, step - 1])


def test_steps_are_the_references(gpt, oracle):
    golden = oracle.golden("gpt")
    prefix, codes = golden["prefix_embeds"][0], golden["greedy_tokens"].tolist()
    cache = gpt.cache(len(prefix) + 1 + len(codes))
    hidden, logits = gpt.prefill(prefix, cache)
    states, scores = [hidden], [logits]
    for place, code in enumerate(codes):
        position = int(golden["step_positions"][place + 1])
        embeddings = gpt.embedded([code], [position])[None]
        hidden, logits = gpt.run(embeddings, [len(prefix) + 2 + place], cache)
        states.append(hidden[0, 0])
        scores.append(logits[0])
    _same(scores, golden["step_logits"])
    _same(states, golden["step_hidden_final_norm"])
    for got, expected in zip(_keys_and_values(cache, cache.positions, gpt.sizes.head_width), ("k", "v"), strict=True):
        _same(got, golden[f"kv_after_{expected}"])


@pytest.mark.parametrize("cuts", [[], [0], [1], [1, 2, 3], [7, 7, 20]])
def test_latents_are_the_references_in_whatever_pieces_they_are_asked_for(gpt, oracle, cuts):
    golden, prefix = oracle.golden("latent"), oracle.golden("gpt")["prefix_embeds"][0]
    codes = golden["codes"][0].tolist()
    cache = gpt.cache(len(prefix) + 1)
    hidden, _ = gpt.prefill(prefix, cache)
    latent_pass = LatentPass(gpt, cache, len(prefix) + 1, hidden)
    edges = [0, *cuts, len(codes)]
    pieces = [latent_pass.push(codes[begin:end]) for begin, end in pairwise(edges)]
    _same(np.concatenate(pieces), golden["latent"][0])


@pytest.mark.parametrize(("precision", "bound"), [("int8", 0.15), ("int8_blocks", 0.15), ("int4", 0.7)])
def test_small_weights_stay_near_the_reference(oracle, tmp_path, precision, bound):
    release, golden = Release.find(oracle.checkpoints), oracle.golden("gpt")
    build(release.tensors("gpt"), release.sizes, precision).save(tmp_path / NAME)
    gpt = Gpt(tmp_path, release.sizes, Tables.of_release(Release.find(oracle.checkpoints)))
    embeddings = golden["inputs_embeds_with_start"]
    positions = embeddings.shape[1]
    hidden, _ = gpt.run(embeddings, [positions], gpt.cache(positions))
    expected = golden["prefill_hidden_last"]
    assert np.linalg.norm(hidden[:, -1] - expected) < bound * np.linalg.norm(expected)


# without it


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    layers=st.integers(1, 3),
    heads=st.integers(1, 5),
    head_width=st.sampled_from([6, 8, 16, 20, 24, 64]),
    codes=st.integers(5, 70),
    steps=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_other_sizes_compute_what_plain_numpy_does(tmp_path, layers, heads, head_width, codes, steps, seed):
    tiny = make(tmp_path, sizes_of(layers, heads * head_width, heads, codes), seed)
    embeddings = np.random.default_rng(seed).standard_normal((steps, tiny.sizes.width)).astype(np.float32)
    hidden, scores = tiny.forward(embeddings)
    got_hidden, got_scores = tiny.gpt.run(embeddings[None], [steps], tiny.gpt.cache(steps))
    _same(got_hidden[0], hidden)
    _same(got_scores[0], scores[-1])


@pytest.mark.parametrize(("precision", "bound"), [("int8", 0.1), ("int4", 0.5)])
def test_small_weights_err_within_bounds(tmp_path, precision, bound):
    sizes = sizes_of(layers=3, width=128, heads=4, codes=200)
    plain, small = make(tmp_path / "fp32", sizes), make(tmp_path / precision, sizes, precision=precision)
    embeddings = np.random.default_rng(0).standard_normal((1, 30, sizes.width)).astype(np.float32)
    (expected, _), (got, _) = (one.gpt.run(embeddings, [30], one.gpt.cache(30)) for one in (plain, small))
    assert 0.001 < np.linalg.norm(got - expected) / np.linalg.norm(expected) < bound


def test_heads_that_do_not_share_the_width_are_refused(tmp_path):
    with pytest.raises(ValueError, match="40 cannot be shared among 3 heads"):
        make(tmp_path, sizes_of(width=40, heads=3))


def test_marks_in_a_text_are_taken_out(tmp_path):
    gpt = make(tmp_path, sizes_of()).gpt
    voice = np.zeros((3, gpt.sizes.width), np.float32)
    np.testing.assert_array_equal(gpt.prefix(voice, [0, 5, 1, 6]), gpt.prefix(voice, [5, 6]))


def test_a_text_that_is_too_long_is_refused(tmp_path):
    gpt = make(tmp_path, sizes_of()).gpt
    voice = np.zeros((3, gpt.sizes.width), np.float32)
    assert len(gpt.prefix(voice, [5] * gpt.sizes.max_text_tokens)) == 3 + gpt.sizes.max_text_tokens + 2
    with pytest.raises(InvalidRequest, match="at most 20"):
        gpt.prefix(voice, [5] * (gpt.sizes.max_text_tokens + 1))
