from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from engines.contract import Emotion, EngineInfo, Instance, SpeechRequest
from engines.errors import Unsupported
from engines.openai import describe
from engines.openai.body import encode, require_able, voice_of
from engines.openai.dialects import Listed, Preset
from engines.openai.options import OpenAiOptions


def options(preset: Preset = "voxgate", **more: Any) -> OpenAiOptions:
    return OpenAiOptions(urls=("http://127.0.0.1:1",), preset=preset, **more)


def sent(preset: Preset = "voxgate", *, voice: str = "", model: str = "", more: Any = None, **said: Any) -> Any:
    """What is sent of a request."""
    dialect = options(preset, **(more or {})).dialect()
    body = encode(SpeechRequest(**{"text": "你好", "language": "zh"} | said), dialect, model, voice)
    return {name: one for name, (one,) in parse_qs(body.decode()).items()} if dialect.form else json.loads(body)


def info_of(preset: Preset = "voxgate", *voices: Listed, **more: Any) -> EngineInfo:
    return describe(Instance("x"), options(preset, **more), listed=voices)


def refuses(preset: Preset, request: SpeechRequest, *voices: Listed, **more: Any) -> str:
    """The field for which a request is not sent at all."""
    with pytest.raises(Unsupported) as caught:
        require_able(request, options(preset, **more).dialect(), info_of(preset, *voices, **more))
    return caught.value.param or ""


def test_all_that_another_gateway_takes_is_sent_in_its_words() -> None:
    emotion = Emotion(weights=(("happy", 0.6),), alpha=0.8)
    said = {"speed": 1.5, "instructions": "softly", "seed": 7, "emotion": emotion, "markup": "ssml"}
    assert sent(voice="narrator", model="auto", **said) == {
        "input": "你好",
        "model": "auto",
        "voice": "narrator",
        "response_format": "pcm",
        "sample_rate": 24000,
        "speed": 1.5,
        "instructions": "softly",
        "language": "zh",
        "seed": 7,
        "emotion": {"happy": 0.6, "alpha": 0.8},
        "input_type": "ssml",
    }


@pytest.mark.parametrize(
    ("emotion", "told"),
    [
        (Emotion(vector=(0.1,) * 8, alpha=0.5), {"vector": [0.1] * 8, "alpha": 0.5}),
        (Emotion(voice="sad one"), {"voice": "sad one", "alpha": 1.0}),
    ],
)
def test_an_emotion_is_told_as_the_gateways_own_api_takes_it(emotion: Emotion, told: object) -> None:
    assert sent(emotion=emotion)["emotion"] == told


@pytest.mark.parametrize("preset", ["openai", "vllm-omni", "kokoro-fastapi", "speaches", "localai", "index-tts-vllm"])
def test_what_colours_a_speech_is_left_out_where_there_is_no_name_for_it(preset: Preset) -> None:
    told = sent(preset, emotion=Emotion(weights=(("happy", 1.0),)), seed=7)
    assert not {"emotion", "seed", "speed", "input_type"} & told.keys()
    assert all(value is not None for value in told.values())


def test_audio_is_asked_for_as_it_is_made_and_with_another_speed_where_that_is_refused_whole() -> None:
    assert sent("vllm-omni")["stream_format"] == "audio"
    assert "stream_format" not in sent("vllm-omni", speed=1.2)
    assert sent("kokoro-fastapi", speed=1.2)["stream"] is True


def test_a_language_is_told_in_the_words_of_the_server_if_it_has_one() -> None:
    assert sent("vllm-omni")["language"] == "Chinese"
    assert "language" not in sent("vllm-omni", language="sv")
    assert sent("localai", language="sv")["language"] == "sv"


def test_a_voice_that_tells_its_language_needs_no_other_word_for_it() -> None:
    assert "lang_code" not in sent("kokoro-fastapi", voice="zf_xiaobei")
    assert sent("kokoro-fastapi", voice="af_heart")["lang_code"] == "z"
    assert "lang_code" not in sent("kokoro-fastapi", voice="bf_emma", language="en"), "she is British, not `a`"


def test_a_form_is_sent_where_the_server_reads_one() -> None:
    assert sent("cosyvoice", voice="中文女") == {"tts_text": "你好", "spk_id": "中文女"}


def test_each_word_of_a_preset_can_be_another() -> None:
    more = {"names": {"language": "lang", "seed": ""}, "fields": {"volume": 2, "stream": False}, "text": "text"}
    told = sent(more=more, seed=7)
    assert (told["text"], told["lang"], told["volume"], told["stream"]) == ("你好", "zh", 2, False)
    assert not {"input", "language", "seed"} & told.keys()


def test_the_voice_that_was_asked_for_is_sent_and_else_the_default() -> None:
    aloud = SpeechRequest("a", "en")
    voices = Listed("zm", ("zh",), "male"), Listed("af", ("en",), "female"), Listed("am", ("en",), "male")
    dialect = options("speaches").dialect()
    assert voice_of(SpeechRequest("a", "en", "zm"), dialect, info_of("speaches", *voices)) == "zm"
    assert voice_of(aloud, dialect, info_of("speaches", *voices)) == "af"
    assert voice_of(SpeechRequest("a", "en", gender="male"), dialect, info_of("speaches", *voices)) == "am"
    assert voice_of(aloud, dialect, info_of("speaches", Listed("first"), Listed("second"))) == "first"
    assert voice_of(aloud, dialect, info_of("speaches")) == ""


def test_a_default_that_the_server_lacks_is_not_sent() -> None:
    aloud, dialect = SpeechRequest("a", "en"), options("openai").dialect()
    assert voice_of(aloud, dialect, info_of("openai")) == "alloy"
    assert voice_of(aloud, dialect, info_of("openai", Listed("other"), Listed("alloy"))) == "alloy"
    assert voice_of(aloud, dialect, info_of("openai", Listed("other"))) == "other"


def test_the_voice_of_engines_yaml_speaks_before_others_of_its_language() -> None:
    voices = Listed("af_alloy", ("en",)), Listed("am_adam", ("en",)), Listed("zf_xiaobei", ("zh",))
    info = info_of("kokoro-fastapi", *voices, voice="am_adam")
    assert (info.default_voice("en"), info.default_voice("zh")) == ("am_adam", "zf_xiaobei")


@pytest.mark.parametrize(
    ("preset", "request_", "field"),
    [
        ("index-tts-vllm", SpeechRequest("a", "en", speed=1.2), "speed"),
        ("speaches", SpeechRequest("a", "en", speed=3.0), "speed"),
        ("openai", SpeechRequest("<speak/>", "en", markup="ssml"), "input_type"),
        ("openai", SpeechRequest("a" * 4097, "en"), "input"),
        ("openai", SpeechRequest("🙂 …!", "en"), "input"),
        ("kokoro-fastapi", SpeechRequest("hej", "sv"), "language"),
        ("cosyvoice", SpeechRequest("a", "en", "nobody"), "voice"),
    ],
)
def test_what_would_be_spoken_otherwise_than_asked_is_not_asked_for(
    preset: Preset, request_: SpeechRequest, field: str
) -> None:
    assert refuses(preset, request_) == field


def test_a_voice_that_the_server_does_not_list_is_not_asked_for() -> None:
    assert refuses("voxgate", SpeechRequest("a", "en", "nobody"), Listed("narrator")) == "voice"
    unlisted = options("voxgate").dialect()
    require_able(SpeechRequest("a", "en", "anybody"), unlisted, info_of("voxgate"))


def test_voices_may_be_mixed_where_the_server_mixes() -> None:
    voices = Listed("af_bella", ("en",)), Listed("af_sky", ("en",))
    dialect, info = options("kokoro-fastapi").dialect(), info_of("kokoro-fastapi", *voices)
    for mix in ("af_bella+af_sky", "af_bella(2)+af_sky(1)", "af_bella - af_sky"):
        require_able(SpeechRequest("a", "en", mix), dialect, info)
    assert refuses("kokoro-fastapi", SpeechRequest("a", "en", "af_bella+nobody"), *voices) == "voice"
    assert refuses("speaches", SpeechRequest("a", "en", "af_bella+af_sky"), *voices) == "voice"
