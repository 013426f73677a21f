"""Waves of pieces against the wave of the whole."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from engines.indextts.vocoder import PIECE_FRAMES, Vocoder, reach_frames
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
    # -60 dB: a network that is driven to its limits sees a little further than half of its reach
    np.testing.assert_allclose(joined, whole, atol=1e-3 * np.abs(whole).max())


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
    difference = np.abs(vocoder.run(changed) - vocoder.run(mel)).reshape(mel.shape[1], -1).max(axis=1)
    assert difference[100 + reach :].max() < 1e-6 < difference[100 : 100 + reach].max()


def test_the_reach_grows_with_kernels_and_dilations(acoustic: Acoustic) -> None:
    sizes = acoustic.sizes.vocoder
    wider = replace(sizes, block_kernels=tuple(2 * one + 1 for one in sizes.block_kernels))
    assert reach_frames(wider) > reach_frames(sizes)


class Steady:
    """A network whose wave is as loud as the run is late; says how many frames it was given."""

    def __init__(self, samples: int) -> None:
        self.frames: list[int] = []
        self._samples = samples

    def run(self, output_names: object, input_feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        frames = input_feed["mel"].shape[2]
        self.frames.append(frames)
        return [np.full((1, frames * self._samples), len(self.frames), np.float32)]


@pytest.fixture
def steady(acoustic: Acoustic) -> tuple[Steady, Vocoder]:
    network = Steady(Vocoder(acoustic.vocoder, acoustic.sizes.vocoder).samples_per_frame)
    return network, Vocoder(network, acoustic.sizes.vocoder)


def test_a_long_stream_is_not_made_again_from_its_beginning(steady: tuple[Steady, Vocoder]) -> None:
    network, vocoder = steady
    wave = np.concatenate(list(vocoder.stream([np.zeros((80, 50), np.float32)] * 20)))
    assert len(wave) == 1000 * vocoder.samples_per_frame
    assert max(network.frames) <= 50 + 2 * vocoder.context_frames


def test_a_long_mel_is_made_in_pieces_that_stay_small(steady: tuple[Steady, Vocoder]) -> None:
    network, vocoder = steady
    wave = vocoder(np.zeros((80, 2000), np.float32))
    assert len(wave) == 2000 * vocoder.samples_per_frame
    assert max(network.frames) <= PIECE_FRAMES + 2 * vocoder.context_frames


def test_pieces_that_differ_fade_into_each_other(steady: tuple[Steady, Vocoder]) -> None:
    """As they do in 8 bit, a little."""
    _, vocoder = steady
    wave = np.concatenate(list(vocoder.stream([np.zeros((80, 50), np.float32)] * 3)))
    assert set(np.unique(np.round(wave))) == {1, 2, 3, 4}
    assert np.abs(np.diff(wave)).max() <= 2 / vocoder.samples_per_frame
