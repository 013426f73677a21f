from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

import engines.espeak
from engines.contract import Instance
from engines.errors import Unavailable
from engines.espeak import KIND, EspeakOptions, create, describe, missing


def test_importing_and_describing_the_kind_loads_neither_the_loader_nor_the_library() -> None:
    program = (
        "import sys, engines.espeak as espeak\n"
        "from engines.contract import Instance\n"
        "kind, = espeak.engine_kinds(); here = Instance('espeak'); options = kind.options()\n"
        "assert kind.describe(here, options).voices and kind.missing(here, options) is None\n"
        "assert 'espeakng_loader' not in sys.modules and 'engines.espeak.binding' not in sys.modules\n"
        "assert 'espeak' not in open('/proc/self/maps').read()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def test_it_runs_in_a_process_of_its_own_and_says_why_when_asked_not_to() -> None:
    assert KIND.isolation == "process"
    with pytest.raises(Unavailable, match=r"GPL.*isolation"):
        create(Instance("espeak", in_worker=False), EspeakOptions())


def test_a_missing_distribution_is_a_state_with_the_command_that_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.espeak, "_MODULE", "espeakng_loader_that_is_not_there")
    found = missing(Instance("espeak"), EspeakOptions())
    assert found is not None
    assert (found.state, found.advice) == ("not_installed", "pip install espeakng-loader")


@pytest.mark.parametrize("wrong", [{"volume": 101}, {"pitch": 100}, {"rate_wpm": 79}, {"word_gap_ms": 5}, {"x": 1}])
def test_options_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        EspeakOptions(**wrong)


def test_every_option_that_changes_the_sound_changes_the_version() -> None:
    here = Instance("espeak")
    versions = {
        describe(here, EspeakOptions(**options)).version
        for options in ({}, {"rate_wpm": 180}, {"pitch": 60}, {"volume": 90}, {"word_gap_ms": 10})
    }
    assert len(versions) == 5


@pytest.mark.parametrize(
    ("language", "gender", "voice"),
    [
        ("zh", "", "cmn-latn-pinyin"),
        ("zh", "female", "cmn-latn-pinyin+f3"),
        ("yue", "", "yue"),
        ("en", "", "en-us"),
        ("en", "female", "en-us+f3"),
        ("en-gb", "", "en-gb"),
        ("ja", "", "ja"),
        ("ko", "male", "ko"),
        ("pt", "", "pt"),
        ("pt-br", "", "pt-br"),
        ("zh-hk", "", "yue"),
        ("tlh", "", ""),
    ],
)
def test_each_language_has_its_default_voice(language: str, gender: str, voice: str) -> None:
    info = describe(Instance("espeak"), EspeakOptions())
    assert info.default_voice(language, gender) == voice  # type: ignore[arg-type]


def test_what_is_listed_is_compact_and_complete() -> None:
    info = describe(Instance("espeak", slots=7), EspeakOptions())
    assert info.slots == 7
    assert len(info.voices) < 500
    assert all(info.has_voice(voice) for voice in ("cmn-latn-pinyin+f5", "en-us+m7", "yue+f3", "ja+f3", "de+m3"))
    assert all(info.default_voice(language) for language in info.languages)
    assert len({voice.id for voice in info.voices}) == len(info.voices)
