"""Length regulator, estimator and vocoder as graphs, against what the official code made of the same inputs."""

from pathlib import Path

import numpy as np
import pytest

from engines.indextts.flow import Flow
from engines.indextts.layout import Release
from engines.indextts.length_regulator import LengthRegulator, frames_of
from engines.indextts.vocoder import Vocoder
from models.checkpoint import CheckpointError
from tests.engines.indextts.acoustic import Acoustic, build, load
from tests.engines.indextts.oracle import Oracle


def test_features_are_stretched_to_frames(acoustic: Acoustic, oracle: Oracle) -> None:
    golden = oracle.golden("latent")
    frames = frames_of(golden["codes"].shape[1])
    assert frames == golden["target_length"][0]
    condition = LengthRegulator(acoustic.length_regulator)(golden["S_infer"][0], frames)
    np.testing.assert_allclose(condition, golden["length_regulator_out"][0], atol=1e-4)


def test_a_voice_is_stretched_to_its_mel(acoustic: Acoustic, oracle: Oracle) -> None:
    golden = oracle.golden("voice")
    condition = LengthRegulator(acoustic.length_regulator)(golden["S_ref"][0], golden["ref_mel"].shape[2])
    np.testing.assert_allclose(condition, golden["prompt_condition"][0], atol=1e-4)


def test_the_estimator_gives_the_velocity_of_both_rows(acoustic: Acoustic, oracle: Oracle) -> None:
    golden = oracle.golden("cfm")
    inputs = {"x": "dit_x", "prompt": "dit_prompt_x", "style": "dit_style", "mu": "dit_mu"}
    feed = {name: golden[kept] for name, kept in inputs.items()} | {"t": golden["dit_t"][:1]}
    frames = golden["dit_x"].shape[2]
    for known in {0, frames // 2, frames - 1}:  # whoever knows some frames is told of the others alone
        velocity = acoustic.estimator.run(None, feed | {"known": np.array([known])})[0]
        np.testing.assert_allclose(velocity, golden["dit_out"][:, :, known:], atol=1e-4)


@pytest.mark.parametrize(("kept", "steps", "cfg"), [("cfm_4", 4, 0.7), ("cfm_10", 10, 0.7), ("cfm_10_nocfg", 10, 0.0)])
def test_the_flow_ends_at_the_mel(acoustic: Acoustic, oracle: Oracle, kept: str, steps: int, cfg: float) -> None:
    golden = oracle.golden("cfm")
    mel = solve(acoustic, oracle, steps, cfg)
    np.testing.assert_allclose(mel, golden[kept][0][:, golden["ref_mel"].shape[2] :], atol=5e-3)


def test_the_release_s_25_steps_end_at_the_mel_that_was_spoken(acoustic: Acoustic, oracle: Oracle) -> None:
    mel = solve(acoustic, oracle, 25, 0.7)
    np.testing.assert_allclose(mel, oracle.golden("bigvgan")["mel_gen"][0], atol=5e-3)


@pytest.mark.parametrize("kept", ["gen", "ref40"])
def test_the_vocoder_makes_the_wave(acoustic: Acoustic, oracle: Oracle, kept: str) -> None:
    golden = oracle.golden("bigvgan")
    wave = Vocoder(acoustic.vocoder, acoustic.sizes.vocoder)(golden[f"mel_{kept}"][0])
    np.testing.assert_allclose(wave, golden[f"wav_{kept}"][0, 0], atol=1e-4)


def test_a_wave_becomes_16_bit_as_officially(acoustic: Acoustic, oracle: Oracle) -> None:
    golden = oracle.golden("bigvgan")
    wave = Vocoder(acoustic.vocoder, acoustic.sizes.vocoder)(golden["mel_gen"][0])
    np.testing.assert_allclose(32767 * wave, golden["wav_pcm_float"][0], atol=5e-2)


def test_8_bit_weights_stay_close(acoustic: Acoustic, release: Release, oracle: Oracle, tmp_path: Path) -> None:
    small, wave = load(release, tmp_path, "int8"), oracle.golden("bigvgan")
    assert distance(solve(small, oracle, 10, 0.7), solve(acoustic, oracle, 10, 0.7)) < 0.1
    made = Vocoder(small.vocoder, small.sizes.vocoder)(wave["mel_gen"][0])
    assert 0 < distance(made, wave["wav_gen"][0, 0]) < 0.05


@pytest.mark.parametrize("network", ["length_regulator", "estimator", "vocoder"])
def test_every_tensor_is_taken(release: Release, tmp_path: Path, network: str) -> None:
    tensors = release.tensors(network)  # type: ignore[arg-type]
    build(network, tensors, release.sizes, "fp32")
    tensors.finish()


def test_a_checkpoint_of_another_depth_is_refused(release: Release) -> None:
    from dataclasses import replace

    deeper = replace(release.sizes, estimator=replace(release.sizes.estimator, layers=99))
    with pytest.raises(CheckpointError, match=r"layers\.\d+\."):
        build("estimator", release.tensors("estimator"), deeper, "fp32")


def solve(acoustic: Acoustic, oracle: Oracle, steps: int, cfg: float) -> np.ndarray:
    golden = oracle.golden("cfm")
    mu, ref, style, noise = (golden[name][0] for name in ("mu", "ref_mel", "style", "noise"))
    return Flow(acoustic.estimator).solve(mu, ref, style, noise, steps, cfg)


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The difference's energy against the other's, as amplitudes."""
    return float(np.sqrt(np.mean((one - other) ** 2) / np.mean(other**2)))
