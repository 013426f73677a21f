"""What the kind says without loading anything: what it lacks, with the command; what it can do; its voices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines.contract import Instance
from engines.errors import Unavailable
from engines.kokoro import KIND, describe, missing
from engines.kokoro.options import KokoroOptions
from tests.engines.kokoro.tiny import LEVELS, make_engine, make_home

OPTIONS = KokoroOptions()


def at(home: Path) -> Instance:
    return Instance("kokoro", data_dir=home)


def test_nothing_heavy_is_imported_to_say_what_is_there(home: Path) -> None:
    program = f"""
import pathlib, sys
from engines.contract import Instance
from engines.kokoro import KIND
instance, options = Instance("x", data_dir=pathlib.Path({str(home)!r})), KIND.options()
assert KIND.missing(instance, options) is None
assert len(KIND.describe(instance, options).voices) == {len(LEVELS)}
heavy = {{"numpy", "onnxruntime", "onnx", "pypinyin", "rjieba", "espeakng_loader", "ctypes"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, env=os.environ)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(("bundle", "pull"), [("kokoro", "kokoro"), ("kokoro-zh", "kokoro-zh"), ("mine", "kokoro")])
def test_without_its_files_it_is_not_installed_and_says_which_command_mends_it(
    bundle: str, pull: str, tmp_path: Path
) -> None:
    found = missing(at(tmp_path), KokoroOptions(bundle=bundle))
    assert found is not None
    assert (found.state, found.advice) == ("not_installed", f"voxgate models pull {pull}")
    assert "zh" in describe(at(tmp_path), OPTIONS).languages


@pytest.mark.parametrize("package", ["onnxruntime", "pypinyin", "rjieba"])
def test_without_a_package_it_says_how_to_install_it(package: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.kokoro.find_spec", lambda name: None if name == package else object())
    found = missing(at(home), OPTIONS)
    assert found is not None
    assert found.state == "not_installed"
    assert package in found.advice
    assert "scripts/install kokoro" in found.advice


@pytest.mark.parametrize("file", ["model.onnx", "voices-v1.0.bin", "config.json"])
def test_a_file_that_is_absent_is_named(file: str, tmp_path: Path) -> None:
    home = make_home(tmp_path)
    (home / "models" / "kokoro" / file).unlink()
    found = missing(at(home), OPTIONS)
    assert found is not None
    assert found.state == "not_configured"
    assert file.split("-")[0].split(".")[-1] in found.advice
    assert describe(at(home), OPTIONS).voices == ()


def test_of_two_models_one_must_be_named(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    folder = home / "models" / "kokoro"
    (folder / "kokoro-v1.0.int8.onnx").write_bytes((folder / "model.onnx").read_bytes())
    found = missing(at(home), OPTIONS)
    assert found is not None
    assert "`model`" in found.advice
    assert missing(at(home), KokoroOptions(model="kokoro-v1.0.int8.onnx")) is None
    elsewhere = {name: str(folder / file) for name, file in (("model", "model.onnx"), ("vocabulary", "config.json"))}
    assert missing(at(home), KokoroOptions(voices="~/nowhere/voices.bin", **elsewhere)) is not None


def test_a_mix_of_voices_that_are_not_there_is_told_at_once(home: Path) -> None:
    found = missing(at(home), KokoroOptions(mixes={"mine": "af_hart(2)+am_adam"}))
    assert found is not None
    assert "af_heart" in found.advice
    with pytest.raises(ValueError, match="no mix"):
        KokoroOptions(mixes={"mine": "af_heart("})


def test_the_version_changes_with_what_is_heard_and_with_nothing_else(home: Path, tmp_path: Path) -> None:
    said = describe(at(home), OPTIONS).version
    assert describe(at(home), KokoroOptions(gain_db=1)).version != said
    assert describe(at(home), KokoroOptions(mixes={"x": "af_heart+am_adam"})).version != said
    assert describe(at(home), KokoroOptions(threads=1)).version == said
    other = make_home(tmp_path, levels={"af_heart": 0.9})
    assert describe(at(other), OPTIONS).version != said


def test_it_speaks_in_a_process_of_its_own_only(home: Path) -> None:
    with pytest.raises(Unavailable, match="isolation"):
        KIND.create(at(home), OPTIONS)


async def test_a_model_that_cannot_be_loaded_is_unavailable(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    (home / "models" / "kokoro" / "model.onnx").write_bytes(b"no graph")
    engine = make_engine(home)
    with pytest.raises(Unavailable, match="cannot load"):
        await engine.start()
    await engine.close()
