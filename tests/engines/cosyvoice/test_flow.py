"""Flow encoder, length regulator, estimator and solver against what the official code made of the same inputs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engines.cosyvoice.flow import Edges, Prompt
from engines.cosyvoice.graphs import estimator
from engines.cosyvoice.layout import Release
from models.checkpoint import CheckpointError
from tests.engines.cosyvoice.acoustic import Parts, load
from tests.engines.cosyvoice.oracle import Oracle

RUNS = ("05_flow_short", "06_flow_long", "07_flow_prompt")
Golden = Mapping[str, np.ndarray]


def prompt_of(golden: Golden) -> Prompt | None:
    tokens, mel = golden["prompt_token"][0].tolist(), golden["prompt_feat"][0].T
    return Prompt(tokens, mel) if tokens else None


def solve(parts: Parts, golden: Golden, edges: Edges | None = None) -> tuple[np.ndarray, Edges]:
    tokens, speaker = golden["token"][0].tolist(), golden["spk_embedding"][0]
    return parts.flow.solve(tokens, speaker, golden["z"][0], prompt_of(golden), edges)


@pytest.mark.parametrize("run", RUNS)
def test_tokens_and_speaker_become_the_references_condition(parts: Parts, oracle: Oracle, run: str) -> None:
    golden = oracle.golden(run)
    mu, timbre = parts.flow.condition(golden["token"][0].tolist(), golden["spk_embedding"][0], prompt_of(golden))
    np.testing.assert_allclose(mu, golden["mu"][0], atol=1e-4)
    np.testing.assert_allclose(timbre, golden["spks"][0], atol=1e-5)


@pytest.mark.parametrize("run", RUNS)
def test_the_flow_encoder_says_what_the_reference_says(parts: Parts, oracle: Oracle, run: str) -> None:
    golden = oracle.golden(run)
    tokens = np.concatenate([golden["prompt_token"], golden["token"]], axis=1).astype(np.int64)
    content = parts.flow_encoder.run(["content"], {"tokens": tokens, "speaker": golden["spk_embedding"]})[0]
    np.testing.assert_allclose(content, golden["encoder_proj"], atol=1e-5)


def test_a_speakers_length_does_not_matter(parts: Parts, oracle: Oracle) -> None:
    golden = oracle.golden("05_flow_short")
    _, timbre = parts.flow.condition([1, 2, 3], 5 * golden["spk_embedding"][0])
    np.testing.assert_allclose(timbre, golden["spks"][0], atol=1e-5)


def test_the_estimator_gives_the_references_velocity(parts: Parts, oracle: Oracle) -> None:
    golden = oracle.golden("05_flow_short")
    inputs = {"x": "est_x", "mu": "est_mu", "prompt": "est_cond", "speaker": "est_spks"}
    feed = {name: golden[kept] for name, kept in inputs.items()} | {"t": golden["est_t"][:1]}
    np.testing.assert_allclose(parts.estimator.run(None, feed)[0], golden["est_out"], atol=1e-4)


def test_every_step_is_the_references(parts: Parts, oracle: Oracle) -> None:
    golden = oracle.golden("05_flow_short")
    conditions = {"mu": golden["mu"][0], "prompt": golden["cond"][0], "speaker": golden["spks"][0]}
    both = {name: np.stack([one, np.zeros_like(one)]) for name, one in conditions.items()}
    for step, t in enumerate(golden["t_values"]):
        x = golden["x_per_step"][step]
        velocities = parts.estimator.run(None, {"x": np.stack([x, x]), "t": np.array([t], np.float32), **both})[0]
        np.testing.assert_allclose(velocities, golden["estimator_out_per_step"][step], atol=1e-4)


@pytest.mark.parametrize("run", RUNS)
def test_the_flow_ends_at_the_references_mel(parts: Parts, oracle: Oracle, run: str) -> None:
    golden = oracle.golden(run)
    mel, edges = solve(parts, golden)
    np.testing.assert_allclose(mel, golden["mel"][0], atol=1e-4)
    np.testing.assert_allclose(np.stack([edges.noise, edges.mu], axis=2), golden["flow_cache"][0], atol=1e-4)


def test_a_piece_begins_with_what_the_last_one_ended_with(parts: Parts, oracle: Oracle) -> None:
    """The edges of an utterance, given back to itself, change nothing; others do, and only what they are given for."""
    golden = oracle.golden("06_flow_long")
    frames = parts.flow.edge_frames
    own = Edges(golden["z"][0, :, :frames], golden["mu"][0, :, :frames])
    mel, _ = solve(parts, golden, own)
    np.testing.assert_allclose(mel, golden["mel"][0], atol=1e-4)
    changed, edges = solve(parts, golden, replace(own, noise=own.noise + 1))
    assert np.abs(changed - mel).max() > 0.1
    np.testing.assert_array_equal(edges.noise, golden["flow_cache"][0, ..., 0])


def test_the_callers_noise_is_not_touched(parts: Parts, oracle: Oracle) -> None:
    golden = oracle.golden("05_flow_short")
    noise = golden["z"][0].copy()
    solve(parts, golden, Edges(np.zeros_like(noise[:, :3]), np.zeros_like(noise[:, :3])))
    np.testing.assert_array_equal(golden["z"][0], noise)


def test_whoever_follows_it_may_leave_before_any_step(parts: Parts, oracle: Oracle) -> None:
    golden = oracle.golden("05_flow_short")
    following = parts.flow.follow(golden["token"][0].tolist(), golden["spk_embedding"][0], golden["z"][0])
    assert sum(1 for _ in following) == 1 + len(golden["t_values"])


def test_nothing_to_say_is_refused(parts: Parts, oracle: Oracle) -> None:
    with pytest.raises(ValueError, match="0 speech tokens"):
        parts.flow.solve([], oracle.golden("05_flow_short")["spk_embedding"][0], np.zeros((1, 0), np.float32))


def test_small_weights_stay_near(parts: Parts, release: Release, oracle: Oracle, tmp_path: Path) -> None:
    golden = oracle.golden("06_flow_long")
    small, _ = solve(load(release, tmp_path, "int8"), golden)
    whole = golden["mel"][0]
    assert 0 < np.sqrt(np.mean((small - whole) ** 2) / np.mean(whole**2)) < 0.1


def test_a_checkpoint_of_another_depth_is_refused(release: Release) -> None:
    flow = release.sizes.flow
    deeper = replace(flow, estimator=replace(flow.estimator, middles=99))
    with pytest.raises(CheckpointError, match=r"mid_blocks\.\d+\."):
        estimator.build(release.tensors("flow").scope("decoder.estimator."), deeper, "fp32")
    narrower = replace(flow, estimator=replace(flow.estimator, middles=flow.estimator.middles - 1))
    tensors = Release.find(release.folder).tensors("flow").scope("decoder.estimator.")
    estimator.build(tensors, narrower, "fp32")
    with pytest.raises(CheckpointError, match="mid_blocks"):
        tensors.finish()
