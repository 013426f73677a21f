"""The light vocoder: its wave, analysed again, has the mel that it was given."""

from dataclasses import replace

import numpy as np
import pytest

from engines.cosyvoice.acoustics import Acoustics, Stream
from engines.cosyvoice.griffin_lim import GriffinLim
from engines.cosyvoice.layout import Release
from models.slices import whole
from tests.engines.cosyvoice.acoustic import Parts
from tests.engines.cosyvoice.oracle import Oracle


@pytest.fixture
def voice(release: Release) -> np.ndarray:
    """Two seconds of a buzz whose pitch and loudness rise and fall."""
    rate = release.sizes.vocoder.sample_rate
    t = np.arange(2 * rate // 256 * 256) / rate
    turns = 2 * np.pi * np.cumsum(150 + 30 * np.sin(2 * np.pi * 1.5 * t)) / rate
    buzz = sum(np.sin(tone * turns) / tone for tone in range(1, 30))
    return np.asarray(0.1 * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * t)), np.float32)


def speak(griffin_lim: GriffinLim, mel: np.ndarray, seed: int = 1) -> np.ndarray:
    return whole(griffin_lim.follow(mel, griffin_lim.draw(mel.shape[1], np.random.default_rng(seed))))[0]


def test_its_wave_has_the_mel(release: Release, voice: np.ndarray) -> None:
    sizes = release.sizes.vocoder
    griffin_lim = GriffinLim(sizes)
    mel = griffin_lim.scale.of(voice)
    wave = speak(griffin_lim, mel)
    assert wave.shape == (mel.shape[1] * sizes.frame_samples,)
    assert wave.dtype == np.float32
    again, before = griffin_lim.scale.of(wave), griffin_lim.scale.of(speak(GriffinLim(sizes, rounds=0), mel))
    assert np.corrcoef(np.exp(again).ravel(), np.exp(mel).ravel())[0, 1] > 0.98
    assert np.abs(again - mel).mean() < 0.5 * np.abs(before - mel).mean()


def test_magnitudes_are_as_loud_as_the_bands(release: Release, voice: np.ndarray) -> None:
    griffin_lim = GriffinLim(release.sizes.vocoder)
    mel = griffin_lim.scale.of(voice)
    magnitudes = griffin_lim.magnitudes(mel)
    assert (magnitudes >= 0).all()
    assert np.abs(np.log(griffin_lim.scale.bands @ magnitudes + 1e-9) - mel).mean() < 0.1


def test_a_mel_beyond_all_bounds_stays_within_the_limit(release: Release, voice: np.ndarray) -> None:
    sizes = replace(release.sizes.vocoder, limit=0.5)
    griffin_lim = GriffinLim(sizes)
    wave = speak(griffin_lim, griffin_lim.scale.of(voice) + 5)
    assert np.abs(wave).max() == 0.5


def test_one_frame_is_enough(release: Release) -> None:
    sizes = release.sizes.vocoder
    wave = speak(GriffinLim(sizes), np.full((sizes.mels, 1), -3, np.float32))
    assert len(wave) == sizes.frame_samples
    assert np.isfinite(wave).all()


def test_it_takes_the_vocoders_place(parts: Parts, release: Release, oracle: Oracle) -> None:
    """Whole, and in a stream that is as long as with the model's own."""
    light = Acoustics(parts.flow, GriffinLim(release.sizes.vocoder))
    golden = oracle.golden("12_streaming")
    speaker = release.speakers()[str(golden["speaker"])]
    waves = []
    stream = Stream(light, speaker, np.random.default_rng(1))
    for wave in (*stream.push(golden["tokens"].tolist()), *stream.finish()):
        if wave is not None:
            waves.append(wave)
    assert [len(wave) for wave in waves] == [golden[f"chunk{number}_wav"].shape[1] for number in range(len(waves))]
    first, again = (
        whole(light.follow(golden["tokens"].tolist()[:30], speaker, np.random.default_rng(2))) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
