from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import engines.openai
from engines.contract import Instance
from engines.errors import Unavailable
from engines.openai import KIND, create, describe, missing
from engines.openai.dialects import PRESETS, Listed
from engines.openai.options import OpenAiOptions

HERE = Instance("gpu-box")


def options(**said: Any) -> OpenAiOptions:
    return OpenAiOptions.model_validate({"urls": ["http://10.0.0.5:8000/v1"], **said})


def test_importing_and_describing_the_kind_loads_no_library_of_http() -> None:
    program = (
        "import sys, engines.openai as kind\n"
        "from engines.contract import Instance\n"
        "one, = kind.engine_kinds(); here = Instance('x'); options = one.options(urls=['http://10.0.0.5/v1'])\n"
        "assert one.describe(here, options).version and one.missing(here, options) is None\n"
        "assert not {'aiohttp', 'yarl', 'httpx', 'msgspec', 'ssl'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_it_runs_in_the_gateways_process_and_says_why_when_asked_not_to() -> None:
    assert KIND.isolation == "inline"
    with pytest.raises(Unavailable, match="isolation: process"):
        create(Instance("x", in_worker=True), options())


def test_a_missing_library_is_a_state_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.openai, "_LIBRARY", "aiohttp_that_is_not_there")
    found = missing(HERE, options())
    assert found is not None
    assert found.state == "not_installed"
    assert "pip install 'voxgate[openai]'" in found.advice


def test_a_missing_key_is_a_state_and_none_is_needed_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GPU_BOX_KEY", raising=False)
    assert missing(HERE, options()) is None
    by_variable, by_file = options(api_key_env="GPU_BOX_KEY"), options(api_key_file=tmp_path / "key")
    for keyed, place in ((by_variable, "GPU_BOX_KEY"), (by_file, str(tmp_path / "key"))):
        found = missing(HERE, keyed)
        assert found is not None
        assert found.state == "not_configured"
        assert place in found.advice
    (tmp_path / "key").write_text("sk-1\n")
    monkeypatch.setenv("GPU_BOX_KEY", "sk-2")
    assert missing(HERE, by_variable) is missing(HERE, by_file) is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"urls": []}, "must not be empty"),
        ({"urls": ["10.0.0.5:8000"]}, "no URL"),
        ({"urls": ["ws://10.0.0.5/v1"]}, "no URL"),
        ({"urls": ["http://gpu..box/v1"]}, "no URL"),
        ({"urls": ["http://10.0.0.5:notaport/v1"]}, "no URL"),
        ({"urls": ["http://user:pass@10.0.0.5/v1"]}, "api_key_env"),
        ({"urls": ["http://10.0.0.5/v1?key=1"]}, "must end with a path"),
        ({"format": "mp3"}, "encoded once"),
        ({"format": "ogg"}, "pcm"),
        ({"path": "audio/speech"}, "slash"),
        ({"preset": "piper"}, "openai"),
        ({"names": {"pitch": "pitch"}}, "names"),
        ({"sample_rate": 100}, "8000"),
        ({"gap_s": 0}, "greater than 0"),
        ({"url": "http://10.0.0.5/v1"}, "Extra"),
        ({"urls": ["http://10.0.0.5/v1", "http://10.0.0.5/v1/"]}, "twice.*`slots`"),
        ({"urls": ["http://a/v1", "http://A/v1"]}, "twice"),
        ({"urls": ["http://10.0.0.5/v1/audio/speech"]}, r"write http://10\.0\.0\.5/v1 "),
        ({"urls": ["https://api.openai.com/"]}, r"write https://api\.openai\.com/v1 "),
        ({"fields": {"input": "a"}}, "'input' is the text"),
        ({"fields": {"text": "a"}, "text": "text"}, "'text' is the text"),
        ({"fields": {"model": "tts-1"}}, "the option `model`"),
        ({"fields": {"speed": 2}}, r'`names: \{speed: ""\}`'),
        ({"names": {"language": "input"}}, "language and text cannot both be 'input'"),
        ({"names": {"language": "lang", "seed": "lang"}}, "seed and language cannot both be 'lang'"),
        ({"languages": ["klingon"]}, "'klingon' is no base code"),
        ({"languages": ["en-US"]}, "'en-US' is no base code"),
        ({"voices": {"a": ["Chinese"]}}, "'Chinese' is no base code"),
        ({"preset": "cosyvoice", "voice": "nobody"}, "no voice 'nobody'.*中文女"),
        ({"preset": "localai", "voices": {"anna": []}, "voice": "ana"}, "near names: anna"),
        ({"api_key_env": "A", "api_key_file": "b"}, "not both"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        options(**said)


@pytest.mark.parametrize(
    "said",
    [
        {"preset": "cosyvoice", "voice": "英文女"},
        {"preset": "kokoro-fastapi", "voice": "somebody"},  # its server lists more than is known before
        {"names": {"model": ""}, "fields": {"model": "tts-1"}},
        {"urls": ["http://10.0.0.5/v1", "https://10.0.0.5/v1", "http://10.0.0.5:81/v1"]},
        {"urls": ["http://10.0.0.5/audio/speech"], "path": ""},
        {"languages": ["zh", "yue"]},
    ],
)
def test_what_may_be_meant_is_taken(said: dict[str, Any]) -> None:
    assert options(**said)


def test_a_slash_behind_a_url_is_no_part_of_it() -> None:
    assert options(urls=["http://10.0.0.5:8000/v1/"]).urls == ("http://10.0.0.5:8000/v1",)


def test_everything_that_is_heard_changes_the_version_and_nothing_else_does() -> None:
    heard = [
        {},
        {"model": "tts-1"},
        {"preset": "kokoro-fastapi"},
        {"voice": "nova"},
        {"sample_rate": 16000},
        {"fields": {"cfg": 2}},
        {"names": {"seed": "seed"}},
        {"format": "wav"},
        {"path": "/other"},
    ]
    assert len({describe(HERE, options(**said)).version for said in heard}) == len(heard)
    unheard = [{}, {"urls": ["http://10.0.0.6/v1"]}, {"api_key_env": "X"}, {"gap_s": 5}, {"connect_s": 1}]
    assert len({describe(HERE, options(**said)).version for said in unheard}) == 1
    assert describe(HERE, options(), model="a").version != describe(HERE, options(), model="b").version


def test_every_preset_can_be_described_and_none_promises_what_it_does_not_know() -> None:
    for preset in PRESETS:
        info = describe(HERE, options(preset=preset))
        assert info.any_language or info.languages
        assert not info.any_voice, "a voice that voices.yaml does not map is another engine's"
        assert all(set(voice.languages) <= info.languages for voice in info.voices if info.languages)
    assert describe(HERE, options(preset="voxgate")).ssml


def test_each_url_brings_slots_unless_they_are_counted_out() -> None:
    urls = ["http://10.0.0.5/v1", "http://10.0.0.6/v1"]
    assert describe(HERE, options(urls=urls)).slots == 16
    assert describe(Instance("x", slots=3), options(urls=urls)).slots == 3


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost/v1", True),
        ("http://[::1]:8000", True),
        ("http://10.0.0.5", False),
        ("https://api.openai.com/v1", False),
    ],
)
def test_other_gateways_news_count_unless_the_server_is_on_this_machine(url: str, here: bool) -> None:
    assert describe(HERE, options(urls=[url])).local is here
    assert not describe(HERE, options(urls=[url, "http://10.0.0.9"])).local


def test_voices_that_are_told_make_the_languages() -> None:
    told = Listed("a", ("en",)), Listed("b", ("zh", "en"), "male")
    info = describe(HERE, options(preset="speaches"), listed=told, rate_hz=22050)
    assert (info.languages, info.any_language) == (frozenset({"en", "zh"}), False)
    assert [(one.id, one.languages, one.sample_rate, one.gender) for one in info.voices] == [
        ("a", ("en",), 22050, ""),
        ("b", ("zh", "en"), 22050, "male"),
    ]
    assert describe(HERE, options(preset="speaches"), listed=(*told, Listed("c"))).any_language
    few = describe(HERE, options(preset="speaches", languages=["zh"]), listed=told)
    assert few.languages == {"zh"}
    assert [one.languages for one in few.voices] == [(), ("zh",)]


def test_voices_of_engines_yaml_add_to_those_that_are_told() -> None:
    info = describe(HERE, options(voices={"mine": ["sv"], "b": ["zh"]}), listed=[Listed("a"), Listed("b")])
    assert [(one.id, one.languages) for one in info.voices] == [("a", ()), ("b", ("zh",)), ("mine", ("sv",))]
