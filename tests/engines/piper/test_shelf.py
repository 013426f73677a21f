from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engines.contract import Instance
from engines.errors import Unavailable
from engines.piper import create, describe, missing
from engines.piper.options import PiperOptions
from engines.piper.shelf import Shelf
from tests.engines.piper.little import make_voice

OPTIONS = PiperOptions()


def problem(folder: Path, **description: Any) -> str:
    make_voice(folder, "odd", **description)
    return Shelf(folder).entries()["odd"].problem


def test_a_folder_with_voices_is_described_without_loading_them(home: Path) -> None:
    info = describe(Instance("piper", data_dir=home), OPTIONS)
    found = {voice.id: voice for voice in info.voices}
    assert list(found) == [
        "en_GB-crowd",
        "en_GB-crowd:bob",
        "en_GB-crowd:alice",
        "en_US-amy",
        "he_IL-motek",
        "uk_UA-lada",
        "zh_CN-xiao",
    ]
    assert info.languages == {"en", "uk", "zh"}
    assert found["en_US-amy"].licence == "CC0 1.0"
    assert "model card" in found["uk_UA-lada"].licence
    assert found["zh_CN-xiao"].sample_rate == 16000


def test_a_phonemiser_that_is_not_there_is_the_reason_of_that_voice_alone(home: Path) -> None:
    entry = Shelf(home / "models" / "piper").entries()["he_IL-motek"]
    assert "type 'hebrew'" in entry.problem
    assert missing(Instance("piper", data_dir=home), OPTIONS) is None


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ({"audio": None}, "'?audio'? is missing"),
        ({"audio": {"sample_rate": 3}}, "sample_rate is 3"),
        ({"espeak": None}, "espeak.voice is missing"),
        ({"phoneme_id_map": {"a": ["x"]}}, "invalid literal"),
        ({"inference": {"length_scale": float("inf")}}, "length_scale is inf"),
        ({"num_speakers": 2, "phoneme_type": "espeak for speaker 0"}, "no phonemiser for speaker 1"),
    ],
)
def test_a_description_that_is_none_of_pipers_says_why(
    tmp_path: Path, description: dict[str, Any], reason: str
) -> None:
    assert re.search(reason, problem(tmp_path, **description))


def test_a_graph_without_its_description_is_told(tmp_path: Path) -> None:
    make_voice(tmp_path, "amy").unlink()
    assert "amy.onnx.json is missing" in Shelf(tmp_path).entries()["amy"].problem


def test_no_voice_is_not_installed_with_the_command(tmp_path: Path) -> None:
    lacks = missing(Instance("piper", data_dir=tmp_path), OPTIONS)
    assert lacks is not None
    assert lacks.state == "not_installed"
    assert f"mkdir -p {tmp_path}/models/piper" in lacks.advice
    assert ".onnx.json" in lacks.advice


def test_only_voices_that_cannot_speak_are_not_configured_with_each_reason(tmp_path: Path) -> None:
    make_voice(tmp_path / "models" / "piper", "he", phoneme_type="hebrew")
    lacks = missing(Instance("piper", data_dir=tmp_path), OPTIONS)
    assert lacks is not None
    assert lacks.state == "not_configured"
    assert "he: " in lacks.advice


def test_a_voice_that_changes_is_read_anew(tmp_path: Path) -> None:
    make_voice(tmp_path, "amy")
    shelf = Shelf(tmp_path)
    before = shelf.entries()["amy"].digest
    make_voice(tmp_path, "amy", licence="a longer description than before")
    assert shelf.entries()["amy"].digest != before
    make_voice(tmp_path / "deeper", "bea")
    assert set(shelf.entries()) == {"amy", "bea"}


def test_it_runs_in_a_worker_only(home: Path) -> None:
    with pytest.raises(Unavailable, match="isolation: inline"):
        create(Instance("piper", data_dir=home), OPTIONS)


def test_describing_the_kind_loads_no_library(home: Path) -> None:
    program = (
        "import sys, engines.piper as kind\n"
        "from engines.contract import Instance\nfrom pathlib import Path\n"
        "one, = kind.engine_kinds(); here = Instance('x', data_dir=Path(sys.argv[1])); options = one.options()\n"
        "assert one.describe(here, options).voices and one.missing(here, options) is None\n"
        "assert not {'numpy', 'onnxruntime', 'pypinyin', 'rjieba', 'espeakng_loader', 'asyncio'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(home)], check=True, timeout=50)
