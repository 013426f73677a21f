from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import engines.sambert
from engines.contract import Instance
from engines.errors import Unavailable
from engines.sambert import KIND, SambertOptions, create, describe, missing
from engines.sambert.options import ENDPOINT

HERE = Instance("sambert")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("API_KEY", "API_KEY_FILE_PATH", "WORKSPACE", "WORKSPACE_ID", "WEBSOCKET_BASE_URL"):
        monkeypatch.delenv(f"DASHSCOPE_{name}", raising=False)


def state_and_advice(**options: Any) -> tuple[str, str]:
    found = missing(HERE, SambertOptions(**options))
    return (found.state, found.advice) if found else ("", "")


# --- what it loads, and where it runs ---


def test_what_is_known_before_the_start_loads_nothing_of_the_network() -> None:
    program = (
        "import sys, engines.sambert as sambert\n"
        "from engines.contract import Instance\n"
        "kind, = sambert.engine_kinds(); here = Instance('sambert'); options = kind.options()\n"
        "assert kind.describe(here, options).voices and kind.missing(here, options)\n"
        "assert kind.create(here, options).info.voices\n"
        "assert 'websockets' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_it_runs_in_the_gateway_and_says_so_when_a_worker_is_wanted() -> None:
    assert KIND.isolation == "inline"
    with pytest.raises(Unavailable, match="isolation: process"):
        create(Instance("sambert", in_worker=True), SambertOptions())


# --- what is missing ---


def test_without_a_key_it_is_not_configured_and_says_where_keys_are_looked_for() -> None:
    state, advice = state_and_advice()
    assert state == "not_configured"
    assert "DASHSCOPE_API_KEY is not set" in advice
    assert ".dashscope/api_key" in advice


def test_a_key_is_found_where_the_sdk_looks_for_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".dashscope").mkdir()
    for name, content in (("config.toml", 'api_key = "from-toml"'), ("api_key", "from-file\n")):
        (tmp_path / ".dashscope" / name).write_text(content)
    options = SambertOptions()
    assert options.key_places().find().text == "from-file"
    named = tmp_path / "named"
    named.write_text("from-named")
    monkeypatch.setenv("DASHSCOPE_API_KEY_FILE_PATH", str(named))
    assert options.key_places().find().text == "from-named"
    monkeypatch.setenv("DASHSCOPE_API_KEY", "from-variable")
    assert options.key_places().find().text == "from-variable"
    assert state_and_advice() == ("", "")


def test_who_names_a_place_means_that_place_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "another account's")
    assert state_and_advice(api_key_env="MINE")[1].endswith("MINE is not set")
    assert "there is no file" in state_and_advice(api_key_file=str(tmp_path / "mine"))[1]
    monkeypatch.setenv("MINE", "mine")
    assert SambertOptions(api_key_env="MINE").key_places().find().text == "mine"


@pytest.mark.parametrize("variable", ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIYUN_AK_ID"])
def test_an_access_key_pair_alone_is_told_to_be_no_api_key(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "LTAI5tSomebody")
    state, advice = state_and_advice()
    assert state == "not_configured"
    assert "Model Studio needs an API key" in advice
    assert variable in advice
    assert "Somebody" not in advice


def test_an_access_key_in_the_key_s_place_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "LTAI5tSomebody")
    state, advice = state_and_advice()
    assert (state, "Model Studio needs an API key" in advice) == ("not_configured", True)
    assert "Somebody" not in advice


def test_who_has_a_key_and_no_library_hears_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.sambert, "find_spec", lambda name: None)
    assert state_and_advice()[0] == "not_configured"  # the key comes first: without one, nothing need be installed
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-1")
    state, advice = state_and_advice()
    assert (state, "pip install 'voxgate[sambert]'" in advice) == ("not_installed", True)


def test_a_key_is_not_sent_in_the_clear_to_an_address_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-1")
    for url in (
        *(
            "ws://example.org/inference",
            "ws://203.0.113.5/",
            "ws://localhost.example.org/",
            "ws://127.0.0.1.example.org/",
        ),
        *(
            "ws://127.0.0.1@example.org/",
            "https://example.org/",
            "wss://",
            "wss://example.org:x/",
            "wss:// example.org/",
        ),
    ):
        monkeypatch.setenv("DASHSCOPE_WEBSOCKET_BASE_URL", url)
        told = "DASHSCOPE_WEBSOCKET_BASE_URL must be the URL of a host and begin with wss://"
        assert state_and_advice() == ("not_configured", told)
    for url in ("ws://127.0.0.1:99/inference", "ws://localhost/", "ws://[::1]:99/", "wss://example.org/inference"):
        monkeypatch.setenv("DASHSCOPE_WEBSOCKET_BASE_URL", url)
        assert state_and_advice() == ("", "")


@pytest.mark.parametrize("name", ["DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID"])
@pytest.mark.parametrize("text", ["w-1\r\nX-More: 1", "w 1", "工作"])
def test_what_cannot_stand_in_a_header_is_no_workspace(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-1")
    monkeypatch.setenv(name, text)
    state, advice = state_and_advice()
    assert (state, advice) == ("not_configured", f"{name} must be the ID of a workspace: letters, digits, - and _")


# --- options ---


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"volume": 101}, "volume"),
        ({"pitch": 0.4}, "pitch"),
        ({"sample_rate": 7999}, "sample_rate"),
        ({"model": "sambert-zhiqi-v1"}, "model"),
        ({"endpoint": "https://example.org"}, "endpoint"),
        ({"endpoint": "wss://:443/inference"}, "endpoint"),
        ({"endpoint": "wss:///inference"}, "endpoint"),
        ({"workspace": "a\r\nb"}, "workspace"),
        ({"api_key_env": "sk-0123"}, "api_key_env"),
        ({"api_key_env": "A", "api_key_file": "b"}, "not both"),
        ({"model": "cosyvoice-v3.5-plus"}, "name yours under `voices`"),
        ({"voices": {"mine": {"languages": []}}}, "languages"),
        ({"voices": {"sambert-new-v1": {"languages": ["klingon"]}}}, "'klingon' is no base code"),
        ({"voices": {"foo": {"languages": ["zh"]}}}, "named sambert-…-v1, which 'foo' is not"),
        ({"voices": {"zhiqi": {"languages": ["zh"]}}}, "near names: sambert-zhiqi-v1"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SambertOptions(**wrong)


def test_the_endpoint_is_the_option_s_else_the_environment_s_else_the_published_one() -> None:
    environ = {"DASHSCOPE_WEBSOCKET_BASE_URL": "wss://example.org/inference"}
    assert SambertOptions().service_url({}) == ENDPOINT
    assert SambertOptions().service_url(environ) == "wss://example.org/inference"
    assert SambertOptions(endpoint="ws://127.0.0.1:1/").service_url(environ) == "ws://127.0.0.1:1/"


def test_workspace_and_inspection_are_said_in_headers() -> None:
    assert SambertOptions().headers({}) == {}
    environ = {"DASHSCOPE_WORKSPACE_ID": "w-1"}
    assert SambertOptions().headers(environ) == {"X-DashScope-WorkSpace": "w-1"}
    said = SambertOptions(workspace="w-2", data_inspection=True).headers(environ)
    assert said == {"X-DashScope-WorkSpace": "w-2", "X-DashScope-DataInspection": "enable"}


# --- what it can do ---


def test_it_is_a_cloud_that_costs_money() -> None:
    info = describe(HERE, SambertOptions())
    assert (info.local, info.cost_per_1k_chars, info.han_counts, info.slots) == (False, 0.1, 1, 10)
    assert info.languages == {"zh", "en", "es", "it", "id", "fr", "de", "th"}
    cosyvoice = describe(Instance("c", slots=3), SambertOptions(model="cosyvoice-v3-plus"))
    assert (cosyvoice.cost_per_1k_chars, cosyvoice.han_counts, cosyvoice.slots) == (0.2, 2, 3)


@pytest.mark.parametrize(
    ("language", "gender", "voice"),
    [("zh", "", "zhiqi"), ("zh", "male", "zhichu"), ("en", "female", "zhiqi"), ("de", "male", "hanna")],
)
def test_each_language_has_a_default_voice(language: str, gender: Any, voice: str) -> None:
    assert describe(HERE, SambertOptions()).default_voice(language, gender) == f"sambert-{voice}-v1"


def test_voices_can_be_named_that_are_not_published() -> None:
    mine = {"cosyvoice-v3-flash-mine-0a1b": {"languages": ["zh", "yue"], "gender": "female"}}
    info = describe(HERE, SambertOptions(model="cosyvoice-v3.5-flash", voices=mine))
    (voice,) = info.voices
    assert (voice.id, voice.languages, voice.gender) == ("cosyvoice-v3-flash-mine-0a1b", ("zh", "yue"), "female")
    assert voice.sample_rate == 24000


def test_each_voice_sounds_at_its_own_rate_unless_one_is_asked_for() -> None:
    assert {voice.sample_rate for voice in describe(HERE, SambertOptions()).voices} == {48000, 16000}
    assert {voice.sample_rate for voice in describe(HERE, SambertOptions(sample_rate=24000)).voices} == {24000}


def test_what_changes_the_sound_changes_the_version_and_nothing_else_does() -> None:
    def version(**options: Any) -> str:
        return describe(HERE, SambertOptions(**options)).version

    different: list[dict[str, Any]] = [
        {"model": "cosyvoice-v3-flash"}, {"sample_rate": 24000}, {"volume": 60}, {"pitch": 1.1}, {}
    ]  # fmt: skip
    assert len({version(**options) for options in different}) == len(different)
    assert version(api_key_env="OTHER", gap_s=3.0, timestamps=False, workspace="w") == version()
