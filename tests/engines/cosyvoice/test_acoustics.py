"""Tokens to waves, whole and in pieces, against what the official code made of them."""

import numpy as np
import pytest

from engines.cosyvoice.acoustics import Stream
from engines.cosyvoice.layout import Release
from models.resample import stretch
from models.slices import whole
from tests.engines.cosyvoice.acoustic import Foreseen, Parts
from tests.engines.cosyvoice.oracle import Oracle


@pytest.mark.parametrize("run", ["10_e2e", "11_e2e_speed"])
def test_tokens_become_the_references_wave(parts: Parts, oracle: Oracle, release: Release, run: str) -> None:
    golden = oracle.golden(run)
    speaker = release.speakers()[str(golden["speaker"])]
    foreseen = Foreseen(golden["z"][0], phases=golden["phase"][0, 1:, 0], noise=golden["noise"][0])
    wave = whole(parts.acoustics.follow(golden["tokens"][0].tolist(), speaker, foreseen, float(golden["speed"])))
    np.testing.assert_allclose(wave, golden["wav"][0], atol=2e-2)


@pytest.mark.parametrize("run", ["10_e2e", "11_e2e_speed"])
def test_tokens_become_the_references_mel(parts: Parts, oracle: Oracle, release: Release, run: str) -> None:
    golden = oracle.golden(run)
    speaker = release.speakers()[str(golden["speaker"])]
    mel, _ = parts.flow.solve(golden["tokens"][0].tolist(), speaker, golden["z"][0])
    np.testing.assert_allclose(mel, golden["mel"][0], atol=1e-4)
    faster = stretch(mel, int(mel.shape[1] / golden["speed"]))
    assert faster.shape[1] * parts.vocoder.frame_samples == golden["wav"].shape[1]


def test_a_stream_becomes_the_references_pieces(parts: Parts, oracle: Oracle, release: Release) -> None:
    golden = oracle.golden("12_streaming")
    chunks = [f"chunk{number}" for number in range(sum(name.endswith("_wav") for name in golden))]
    speaker = release.speakers()[str(golden["speaker"])]
    stream = Stream(parts.acoustics, speaker, Foreseen(*(golden[f"{chunk}_z"][0] for chunk in chunks)))
    waves = []
    for token in golden["tokens"].tolist():  # one by one, as they are decoded
        waves += [wave for wave in stream.push([token]) if wave is not None]
    assert len(waves) == len(chunks) - 1
    waves += [wave for wave in stream.finish() if wave is not None]
    for chunk, wave in zip(chunks, waves, strict=True):
        np.testing.assert_allclose(wave, golden[f"{chunk}_wav"][0], atol=2e-2)


def test_a_stream_s_mels_are_the_references(parts: Parts, oracle: Oracle, release: Release) -> None:
    golden, edges = oracle.golden("12_streaming"), None
    speaker = release.speakers()[str(golden["speaker"])]
    for number in range(3):
        tokens, noise = golden[f"chunk{number}_tokens"][0].tolist(), golden[f"chunk{number}_z"][0]
        mel, edges = parts.flow.solve(tokens, speaker, noise, edges=edges)
        np.testing.assert_allclose(mel, golden[f"chunk{number}_flow_mel"][0], atol=1e-4)


def test_a_short_stream_is_one_piece(parts: Parts, oracle: Oracle, release: Release) -> None:
    golden = oracle.golden("10_e2e")
    tokens, speaker = golden["tokens"][0].tolist(), release.speakers()[str(golden["speaker"])]
    stream = Stream(parts.acoustics, speaker, np.random.default_rng(3))
    assert [wave for wave in stream.push(tokens) if wave is not None] == []
    (wave,) = (wave for wave in stream.finish() if wave is not None)
    np.testing.assert_array_equal(wave, whole(parts.acoustics.follow(tokens, speaker, np.random.default_rng(3))))
    assert list(stream.finish()) == []


def test_equal_seeds_give_equal_waves(parts: Parts, oracle: Oracle, release: Release) -> None:
    golden = oracle.golden("10_e2e")
    tokens, speaker = golden["tokens"][0].tolist(), release.speakers()[str(golden["speaker"])]
    one, same, other = (
        whole(parts.acoustics.follow(tokens, speaker, np.random.default_rng(seed))) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.01
