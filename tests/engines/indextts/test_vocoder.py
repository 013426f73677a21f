"""Waves of pieces against the wave of the whole."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from engines.indextts.vocoder import Vocoder, reach_frames
from tests.engines.indextts.acoustic import Acoustic


@pytest.fixture(scope="module")
def mel(acoustic: Acoustic) -> np.ndarray:
    return np.random.default_rng(4).normal(-5, 2, (acoustic.sizes.mel.mels, 230)).astype(np.float32)


@pytest.mark.parametrize("piece", [1, 30, 100, 229, 500])
def test_pieces_join_into_the_whole_wave(acoustic: Acoustic, mel: np.ndarray, piece: int) -> None:
    vocoder = Vocoder(acoustic.vocoder, acoustic.sizes.vocoder)
    if piece == 1:
        mel = mel[:, :50]
    pieces = [mel[:, start : start + piece] for start in range(0, mel.shape[1], piece)]
    waves = list(vocoder.stream(pieces))
    whole = vocoder(mel)
    joined = np.concatenate(waves)
    assert joined.shape == whole.shape
    np.testing.assert_allclose(joined, whole, atol=1e-4 * np.abs(whole).max())


def test_a_piece_is_spoken_before_the_next_one_is_asked_for(acoustic: Acoustic, mel: np.ndarray) -> None:
    asked = 0

    def pieces() -> object:
        nonlocal asked
        for start in range(0, 200, 100):
            asked += 1
            yield mel[:, start : start + 100]

    vocoder = Vocoder(acoustic.vocoder, acoustic.sizes.vocoder)
    stream = vocoder.stream(pieces())  # type: ignore[arg-type]
    first = next(stream)
    assert asked == 1
    assert len(first) >= (100 - reach_frames(acoustic.sizes.vocoder)) * vocoder.samples_per_frame


def test_nothing_to_speak_is_no_wave(acoustic: Acoustic) -> None:
    vocoder = Vocoder(acoustic.vocoder, acoustic.sizes.vocoder)
    assert list(vocoder.stream([])) == []


def test_a_sample_depends_on_no_frame_beyond_the_reach(acoustic: Acoustic, mel: np.ndarray) -> None:
    """Changed frames change nothing further away than the reach says, and something not much nearer."""
    vocoder, reach = Vocoder(acoustic.vocoder, acoustic.sizes.vocoder), reach_frames(acoustic.sizes.vocoder)
    changed = mel.copy()
    changed[:, :100] += 1
    difference = np.abs(vocoder(changed) - vocoder(mel)).reshape(mel.shape[1], -1).max(axis=1)
    assert difference[100 + reach :].max() < 1e-6 < difference[100 : 100 + reach].max()


def test_the_reach_grows_with_kernels_and_dilations(acoustic: Acoustic) -> None:
    sizes = acoustic.sizes.vocoder
    wider = replace(sizes, block_kernels=tuple(2 * one + 1 for one in sizes.block_kernels))
    assert reach_frames(wider) > reach_frames(sizes)


class Steady:
    """A network that says how many frames it was given."""

    def __init__(self, samples: int) -> None:
        self.frames: list[int] = []
        self._samples = samples

    def run(self, output_names: object, input_feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        frames = input_feed["mel"].shape[2]
        self.frames.append(frames)
        return [np.zeros((1, frames * self._samples), np.float32)]


def test_a_long_stream_is_not_made_again_from_its_beginning(acoustic: Acoustic) -> None:
    sizes = acoustic.sizes.vocoder
    reach = reach_frames(sizes)
    steady = Steady(Vocoder(acoustic.vocoder, sizes).samples_per_frame)
    pieces = [np.zeros((acoustic.sizes.mel.mels, 50), np.float32)] * 20
    wave = np.concatenate(list(Vocoder(steady, sizes).stream(pieces)))
    assert len(wave) == 1000 * Vocoder(steady, sizes).samples_per_frame
    assert max(steady.frames) <= 50 + 2 * reach
