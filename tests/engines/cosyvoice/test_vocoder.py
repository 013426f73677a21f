"""Pitch, source, network and spectra of the vocoder against what the official code made of the same mel."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from engines.cosyvoice import vocoder as module
from engines.cosyvoice.graphs import vocoder as graph_module
from engines.cosyvoice.layout import Release
from engines.cosyvoice.vocoder import Chance, Vocoder, reach_frames
from models.spectrum import stft
from tests.engines.cosyvoice.acoustic import Parts, load
from tests.engines.cosyvoice.oracle import Oracle

RUNS = ("08_hift", "09_hift_cached")
Golden = Mapping[str, np.ndarray]


def chance_of(golden: Golden) -> Chance:
    return Chance(golden["phase"][0, :, 0], golden["noise"][0])


def speak(vocoder: Vocoder, golden: Golden) -> tuple[np.ndarray, np.ndarray]:
    begun = golden["cache_source"][0, 0] if "cache_source" in golden else None
    return vocoder.speak(golden["mel"][0], chance_of(golden), begun)


@pytest.mark.parametrize("run", RUNS)
def test_the_pitch_is_the_references(parts: Parts, oracle: Oracle, run: str) -> None:
    golden = oracle.golden(run)
    np.testing.assert_allclose(parts.vocoder.f0(golden["mel"][0]), golden["f0"][0], atol=1e-3)  # Hz


def test_the_source_is_the_references(parts: Parts, oracle: Oracle) -> None:
    golden = oracle.golden("08_hift")
    source = parts.vocoder.source(golden["f0"][0], chance_of(golden))
    np.testing.assert_allclose(source, golden["source"][0, 0], atol=1e-4)


def test_a_source_goes_on_from_what_was_spoken_before(parts: Parts, oracle: Oracle) -> None:
    golden = oracle.golden("09_hift_cached")
    wave, source = speak(parts.vocoder, golden)
    begun = golden["cache_source"][0, 0]
    np.testing.assert_array_equal(source[: len(begun)], begun)
    np.testing.assert_allclose(source, golden["source"][0, 0], atol=1e-3)
    other, _ = parts.vocoder.speak(golden["mel"][0], chance_of(golden))
    assert np.abs(other - wave).max() > 0.01


@pytest.mark.parametrize("run", RUNS)
def test_the_sources_spectra_are_the_references(release: Release, oracle: Oracle, run: str) -> None:
    golden, sizes = oracle.golden(run), release.sizes.vocoder
    spectra = stft(golden["source"][0, 0], sizes.fft, sizes.hop)
    np.testing.assert_allclose(np.concatenate([spectra.real, spectra.imag]), golden["source_stft"][0], atol=1e-5)


@pytest.mark.parametrize("run", RUNS)
def test_given_the_source_the_wave_is_the_references(parts: Parts, oracle: Oracle, run: str) -> None:
    golden = oracle.golden(run)
    shaped = parts.vocoder.shape(golden["mel"][0], golden["source_stft"][0])
    np.testing.assert_allclose(shaped, golden["conv_post_out"][0], atol=1e-4)
    np.testing.assert_allclose(parts.vocoder.wave(shaped), golden["wav"][0], atol=1e-4)


@pytest.mark.parametrize("run", RUNS)
def test_the_wave_is_the_references(parts: Parts, oracle: Oracle, run: str) -> None:
    golden = oracle.golden(run)
    np.testing.assert_allclose(speak(parts.vocoder, golden)[0], golden["wav"][0], atol=2e-2)


def test_tensors_by_their_older_names_make_the_same_wave(parts: Parts, oracle: Oracle, tmp_path: Path) -> None:
    """Behind `generator.`, and with the older spelling of weight norm."""
    folder = tmp_path / "release"
    shutil.copytree(oracle.folder, folder, ignore=shutil.ignore_patterns("*.npz", "hift.pt"))
    (folder / "hift.legacy-names.pt").rename(folder / "hift.pt")
    golden = oracle.golden("08_hift")
    older, _ = speak(load(Release.find(folder), tmp_path).vocoder, golden)
    np.testing.assert_array_equal(older, speak(parts.vocoder, golden)[0])


def test_phases_do_not_drift_in_a_minute(release: Release, parts: Parts) -> None:
    """Summed up in single precision, tones are off by hundreds of turns after so long."""
    sizes, period, frames = release.sizes.vocoder, 100, 5000
    tones = sizes.overtones + 1
    quiet = np.zeros((tones, frames * sizes.frame_samples), np.float32)
    f0 = np.full(frames, sizes.sample_rate / period, np.float32)
    source = parts.vocoder.source(f0, Chance(np.zeros(tones), quiet))
    periods = source[: len(source) // period * period].reshape(-1, period)
    assert np.ptp(periods[0]) > 0.05
    # what a sample turns by is rounded to single precision, as it was in training
    np.testing.assert_allclose(periods[-1], periods[0], atol=5e-3)


def test_pieces_of_a_long_mel_join_without_a_difference(
    parts: Parts, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    mel = random.normal(size=(release.sizes.vocoder.mels, 120)).astype(np.float32)
    chance = parts.vocoder.draw(120, random)
    whole, _ = parts.vocoder.speak(mel, chance)
    monkeypatch.setattr(module, "PIECE_FRAMES", 30)
    slices = parts.vocoder.follow(mel, chance)
    assert sum(1 for _ in slices) == 1 + 4
    np.testing.assert_allclose(parts.vocoder.speak(mel, chance)[0], whole, atol=1e-5)


def test_a_column_depends_on_no_frame_beyond_the_reach(parts: Parts, release: Release) -> None:
    sizes, random = release.sizes.vocoder, np.random.default_rng(1)
    reach, columns = reach_frames(sizes), sizes.frame_samples // sizes.hop
    mel = random.normal(size=(sizes.mels, 60)).astype(np.float32)
    spectra = random.normal(size=(sizes.fft + 2, 60 * columns + 1)).astype(np.float32)
    changed, other = mel.copy(), spectra.copy()
    changed[:, :20] += 1
    other[:, : 20 * columns] += 1
    difference = np.abs(parts.vocoder.shape(changed, other) - parts.vocoder.shape(mel, spectra)).max(axis=0)
    assert not difference[(20 + reach) * columns + 1 :].any()
    assert difference[20 * columns : (20 + reach) * columns].any()


def test_equal_seeds_give_equal_chance_and_others_another(parts: Parts) -> None:
    one, same, other = (parts.vocoder.draw(3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.noise, same.noise)
    np.testing.assert_array_equal(one.phases, same.phases)
    assert one.phases[0] == 0
    assert (one.phases[1:] != other.phases[1:]).all()


def test_small_weights_stay_near(parts: Parts, oracle: Oracle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "_NARROWEST_INT8", 1)  # the tiny model has nothing as wide as a real one
    golden = oracle.golden("08_hift")
    small = load(Release.find(oracle.folder), tmp_path, "int8").vocoder
    wave = small.wave(small.shape(golden["mel"][0], golden["source_stft"][0]))
    whole = golden["wav"][0]
    assert 0 < np.sqrt(np.mean((wave - whole) ** 2) / np.mean(whole**2)) < 0.1
