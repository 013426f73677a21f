"""The engine: who speaks, what is refused, and that it can be closed while it speaks."""

import numpy as np
import pytest

from engines.contract import Instance, SpeechRequest
from engines.cosyvoice import KIND, describe, missing
from engines.cosyvoice.layout import Release
from engines.cosyvoice.options import CosyVoiceOptions
from engines.errors import EngineFault, Unavailable, Unsupported

#: a model of random weights may find no end
KEEP = CosyVoiceOptions(unfinished="keep")


@pytest.fixture
async def engine(home, opened_once):
    engine = KIND.create(Instance("cosyvoice", data_dir=home), KEEP)
    await engine.start()
    yield engine
    await engine.close()


async def _pcm(engine, **request):
    spoken = [chunk async for chunk in engine.synthesize(SpeechRequest(**{"text": "ab", "language": "en"} | request))]
    return np.frombuffer(b"".join(chunk.pcm for chunk in spoken), "<i2")


def test_its_voices_are_the_bundles_speakers(home, oracle):
    info = describe(Instance("cosyvoice", data_dir=home), CosyVoiceOptions())
    homes = {voice.id: (voice.languages, voice.gender) for voice in info.voices}
    assert homes["粤语女"] == (("yue",), "female")
    assert homes["英文男"] == (("en",), "male")
    assert str(oracle.golden("10_e2e")["speaker"]) in homes
    assert info.languages == {"zh", "en", "ja", "yue", "ko"}
    assert {voice.sample_rate for voice in info.voices} == {Release.find(oracle.folder).sizes.vocoder.sample_rate}


async def test_a_voice_and_a_seed_decide_what_is_heard(engine):
    first = await _pcm(engine, voice="英文女", seed=3)
    np.testing.assert_array_equal(first, await _pcm(engine, voice="英文女", seed=3))
    other = await _pcm(engine, voice="英文男", seed=3)
    assert first.shape != other.shape or (first != other).any()


@pytest.mark.parametrize(
    ("request_", "said"),
    [({"speed": 3.0}, "speed of"), ({"markup": "ssml"}, "no markup"), ({"language": "fr"}, "not 'fr'")],
)
async def test_what_it_cannot_do_is_refused(engine, request_, said):
    with pytest.raises(Unsupported, match=said):
        await _pcm(engine, **request_)


async def test_an_unknown_speaker_is_refused_with_those_there_are(engine):
    with pytest.raises(Unsupported, match="英文女"):
        await _pcm(engine, voice="nobody")


async def test_a_speech_without_an_end_never_ends_like_a_whole_one(home, engine, monkeypatch):
    monkeypatch.setattr("engines.cosyvoice.decoding.MOST_TOKENS", 2)  # no more than there are at least
    assert len(await _pcm(engine, seed=1))
    strict = KIND.create(Instance("cosyvoice", data_dir=home), CosyVoiceOptions())
    await strict.start()
    with pytest.raises(EngineFault, match="no end"):
        await _pcm(strict, seed=1)
    await strict.close()


async def test_closing_it_tells_who_listens(engine):
    stream = engine.synthesize(SpeechRequest("ab " * 60 + ".", "en", speed=1.0, seed=1))
    await anext(stream)
    await engine.close()
    with pytest.raises(Unavailable, match="closed while it spoke"):
        async for _ in stream:
            pass


async def test_the_light_vocoder_speaks_as_long(home, engine):
    light = KIND.create(Instance("cosyvoice", data_dir=home), KEEP.model_copy(update={"vocoder": "griffin_lim"}))
    await light.start()
    assert light.info.version != engine.info.version
    spoken, lightly = await _pcm(engine, seed=1), await _pcm(light, seed=1)
    await light.close()
    assert np.abs(lightly).max() > 0
    assert len(lightly) == pytest.approx(len(spoken), rel=0.1)


def test_without_a_bundle_it_is_not_installed_and_says_which_command_mends_it(tmp_path):
    found = missing(Instance("cosyvoice", data_dir=tmp_path), CosyVoiceOptions())
    assert (found.state, found.advice) == ("not_installed", "voxgate models pull cosyvoice")


def test_a_bundle_can_be_looked_at(home):
    checks = KIND.models[0].verify(home / "models" / "cosyvoice", None, lambda doing, done, whole: None)
    assert [check.name for check in checks if check.passed] == ["contents", "speakers"]
