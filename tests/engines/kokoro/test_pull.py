"""`voxgate models pull kokoro`, from a stand-in for the hubs that publishes tiny files as the release is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import gateway.cli.models
from engines.contract import Instance
from engines.kokoro import describe, missing
from engines.kokoro.options import KokoroOptions
from engines.kokoro.recipe import RECIPES
from gateway.cli import voxgate
from models.bundle import MANIFEST, Bundle
from tests.engines.kokoro.tiny import make_engine, make_home, say
from tests.models.stand_in import Fault, StandIn, stand_in


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    folder = make_home(tmp_path / "published", tokens="input_ids") / "models" / "kokoro"
    files = {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    files["onnx/model.onnx"] = files.pop("model.onnx")
    files["onnx/model_q4.onnx"] = b"another"
    with stand_in() as server:
        for recipe in RECIPES:
            server.repositories[recipe.sources[0].huggingface] = files
        environ = server.environ(VOXGATE_DATA=str(tmp_path / "data"), VOXGATE_CONFIG="")
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(gateway.cli.models.time, "sleep", lambda _: None)
        yield server


def run(*args: str) -> str:
    done = CliRunner().invoke(voxgate, ["models", *args])
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", [recipe.name for recipe in RECIPES])
async def test_the_files_are_fetched_as_they_are_and_speak(name: str, server: StandIn, tmp_path: Path) -> None:
    server.faults["onnx/model.onnx"] = [Fault(cut_after=100)]
    run("pull", name, "--accept-licence")
    folder = tmp_path / "data" / "models" / name
    bundle = Bundle.read(folder)
    assert (bundle.name, bundle.licence) == (name, "Apache-2.0")
    published = server.repositories[RECIPES[0].sources[0].huggingface]
    assert {one.path for one in bundle.files} == {"model.onnx", "tokenizer.json"} | {
        path for path in published if path.startswith("voices/")
    }
    for file in bundle.files:
        assert (folder / file.path).read_bytes() == published[file.path.replace("model.onnx", "onnx/model.onnx")]
    instance, options = Instance("kokoro", data_dir=tmp_path / "data"), KokoroOptions(bundle=name)
    assert missing(instance, options) is None
    described = describe(instance, options)
    assert len(described.voices) == 5
    os.utime(folder / "model.onnx", ns=(1, 1))  # its digest counts, not its date
    assert describe(instance, options).version == described.version
    engine = make_engine(tmp_path / "data", bundle=name)
    await engine.start()
    assert await say(engine, "Hello.")
    await engine.close()
    assert "Apache-2.0" in run("list")


def test_verify_finds_what_has_changed(server: StandIn, tmp_path: Path) -> None:
    run("pull", "kokoro", "--accept-licence")
    assert "audio for" in run("verify", "kokoro")
    voice = tmp_path / "data" / "models" / "kokoro" / "voices" / "af_heart.bin"
    voice.write_bytes(bytes([0xFF]) * voice.stat().st_size)
    done = CliRunner().invoke(voxgate, ["models", "verify", "kokoro"])
    assert done.exit_code == 1
    assert "contents" in done.stderr
    assert "voices" in done.stderr


def test_a_bundle_of_another_format_is_not_installed(server: StandIn, tmp_path: Path) -> None:
    run("pull", "kokoro", "--accept-licence")
    manifest = tmp_path / "data" / "models" / "kokoro" / MANIFEST
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    found = missing(Instance("kokoro", data_dir=tmp_path / "data"), KokoroOptions())
    assert found is not None
    assert found.state == "not_installed"
    assert "newer" in found.advice


def test_files_that_are_no_kokoro_make_no_bundle(server: StandIn, tmp_path: Path) -> None:
    server.repositories[RECIPES[0].sources[0].huggingface]["onnx/model.onnx"] = b"no graph"
    done = CliRunner().invoke(voxgate, ["models", "pull", "kokoro", "--accept-licence"])
    assert done.exit_code == 1
    assert "cannot load" in done.stderr
    assert not (tmp_path / "data" / "models" / "kokoro").exists()
