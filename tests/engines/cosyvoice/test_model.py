"""A bundle speaks: as its networks do one by one, the same for the same seed, and at the speed asked for."""

import numpy as np
import pytest

from engines.cosyvoice.decoding import speech_tokens
from engines.cosyvoice.export import export
from engines.cosyvoice.model import CosyVoice
from engines.cosyvoice.recipe import ExportOptions
from engines.errors import InvalidRequest
from models.bundle import BundleError
from models.slices import whole
from tests.engines.cosyvoice.acoustic import Foreseen
from tests.engines.cosyvoice.releases import copy_release

TOLERANCE = 2e-2  # of whole waves, whose phase adds up small differences in pitch


@pytest.fixture(scope="module")
def model(oracle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    release = copy_release(oracle, folder / "release")
    export(
        release, folder / "bundle", ExportOptions(precision="fp32", acoustic="fp32"), lambda doing, done, whole: None
    )
    return CosyVoice.open(folder / "bundle", threads=1)


def _spoken(model, text, **settings):
    waves = [wave for wave in model.speak(text, next(iter(model.speakers.values())), **settings) if wave is not None]
    return np.concatenate(waves)


@pytest.mark.parametrize("name", ["10_e2e", "11_e2e_speed"])
def test_a_bundles_wave_is_the_references(model, oracle, name):
    golden = oracle.golden(name)
    chance = Foreseen(golden["z"][0], phases=golden["phase"][0, 1:, 0], noise=golden["noise"][0])
    draws = iter(golden["u_sequence"])
    ids, speaker = golden["text_ids"][0].tolist(), model.speakers[str(golden["speaker"])]
    tokens = list(speech_tokens(model.lm, ids, speaker, lambda: next(draws)))
    wave = whole(model.acoustics.follow(tokens, speaker, chance, float(golden["speed"])))
    np.testing.assert_allclose(wave, golden["wav"][0], atol=TOLERANCE)


def test_equal_seeds_give_equal_waves(model):
    first, second, other = (_spoken(model, "ab", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert first.shape != other.shape or not np.allclose(first, other)


def test_twice_the_speed_takes_half_the_time(model):
    natural, fast = (_spoken(model, "ab", seed=1, speed=speed) for speed in (1.0, 2.0))
    assert len(fast) == pytest.approx(len(natural) / 2, abs=2 * model.acoustics.vocoder.frame_samples)
    assert np.abs(fast).max() > 0


def test_work_that_gives_no_wave_yet_can_be_given_up(model):
    speaking = model.speak("ab", next(iter(model.speakers.values())), seed=1)
    assert next(speaking) is None
    speaking.close()


def test_there_may_be_nothing_to_say(model):
    with pytest.raises(InvalidRequest, match="nothing to say"):
        next(model.speak("...", next(iter(model.speakers.values()))))


def test_a_folder_without_a_bundle_is_said_so(tmp_path):
    with pytest.raises(BundleError):
        CosyVoice.open(tmp_path)
