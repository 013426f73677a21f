"""What the kind says without loading anything: what it lacks, with the command; what it can do; its voices."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engines.contract import Instance
from engines.indextts import KIND, LANGUAGES, describe, missing
from engines.indextts.options import IndexTtsOptions
from engines.indextts.shelf import Shelf
from models.bundle import MANIFEST, Bundle
from tests.engines.indextts.home import add_voice, make_home
from tests.engines.indextts.oracle import Oracle
from tests.engines.indextts.voices import a_voice

OPTIONS = IndexTtsOptions()


def at(home: Path) -> Instance:
    return Instance("indextts", data_dir=home)


def test_nothing_heavy_is_imported_to_say_what_is_there(home: Path) -> None:
    program = f"""
import pathlib, sys
from engines.contract import Instance
from engines.indextts import KIND
instance, options = Instance("x", data_dir=pathlib.Path({str(home)!r})), KIND.options()
assert KIND.missing(instance, options) is None
assert len(KIND.describe(instance, options).voices) == 2
assert len(KIND.voices(instance, options).list()) == 2
heavy = {{"numpy", "onnxruntime", "onnx", "transformers", "safetensors", "sentencepiece", "wetext", "psutil"}}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_a_bundle_it_is_not_installed_and_says_which_command_mends_it(tmp_path: Path) -> None:
    found = missing(at(tmp_path), OPTIONS)
    assert found is not None
    assert (found.state, found.advice) == ("not_installed", "voxgate models pull indextts2")
    assert describe(at(tmp_path), OPTIONS).languages == set(LANGUAGES)


@pytest.mark.parametrize("package", ["onnxruntime", "sentencepiece", "wetext"])
def test_without_a_package_it_says_how_to_install_it(package: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.indextts.find_spec", lambda name: None if name == package else object())
    found = missing(at(home), OPTIONS)
    assert found is not None
    assert found.state == "not_installed"
    assert package in found.advice
    assert "scripts/install indextts" in found.advice


def test_without_a_voice_it_is_not_configured(oracle: Oracle, bundle: Bundle, tmp_path: Path) -> None:
    home = make_home(tmp_path / "data", bundle, oracle)
    found = missing(at(home), OPTIONS)
    assert found is not None
    assert found.state == "not_configured"
    assert "voxgate voices add" in found.advice
    add_voice(home, bundle, oracle, "somebody")
    assert missing(at(home), OPTIONS) is None


@pytest.mark.parametrize("how", ["half", "of a later format"])
def test_a_bundle_that_cannot_be_used_is_not_installed(
    how: str, oracle: Oracle, bundle: Bundle, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "data", bundle, oracle, "somebody")
    folder = home / "models" / "indextts2"
    folder.unlink()
    folder.mkdir()
    manifest = (bundle.folder / MANIFEST).read_text()
    if how != "half":
        shutil.copytree(bundle.folder, folder, dirs_exist_ok=True)
        manifest = manifest.replace(f'"format": {bundle.format}', f'"format": {bundle.format + 1}')
    (folder / MANIFEST).write_text(manifest)
    found = missing(at(home), OPTIONS)
    assert found is not None
    assert found.state == "not_installed"
    assert "again" in found.advice


def test_voices_of_another_model_and_files_that_are_none_are_passed_over(
    oracle: Oracle, bundle: Bundle, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "data", bundle, oracle, "mine")
    folder = home / "voices" / "indextts"
    a_voice(name="foreign", model="another").write(folder)
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "huge.safetensors").write_bytes(b"\xff" * 16)
    (folder / "notes.txt").write_text("not a voice")
    info = describe(at(home), OPTIONS)
    assert [voice.id for voice in info.voices] == ["mine"]
    assert info.voices[0].licence == "CC0"
    assert info.default_voice("zh", "female") == "mine"
    assert info.cloning


def test_the_version_changes_with_what_is_heard_and_with_nothing_else(
    home: Path, oracle: Oracle, bundle_int8: Bundle, tmp_path: Path
) -> None:
    said = describe(at(home), OPTIONS).version
    assert describe(at(home), IndexTtsOptions(steps=25)).version != said
    assert describe(at(home), IndexTtsOptions(seed=1)).version != said
    assert describe(at(home), IndexTtsOptions(threads=1, rows=2)).version == said
    other = make_home(tmp_path / "data", bundle_int8, oracle, "narrator")
    assert describe(at(other), OPTIONS).version != said


def test_a_shelf_reads_a_file_again_only_when_it_has_changed(oracle: Oracle, bundle: Bundle, tmp_path: Path) -> None:
    home = make_home(tmp_path / "data", bundle, oracle, "one", "two")
    shelf = Shelf(home / "voices" / "indextts")
    before = {card.name: card for card in shelf.cards()}
    add_voice(home, bundle, oracle, "two", seed=5)
    after = {card.name: card for card in shelf.cards()}
    assert after["one"] is before["one"]
    assert after["two"].digest != before["two"].digest
    (home / "voices" / "indextts" / "one.safetensors").unlink()
    assert [card.name for card in shelf.cards()] == ["two"]


def test_slots_are_as_the_operator_says(home: Path) -> None:
    assert KIND.describe is not None
    assert KIND.describe(Instance("x", 7, home), OPTIONS).slots == 7
