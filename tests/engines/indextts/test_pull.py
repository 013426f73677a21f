"""`voxgate models pull indextts2`, from a stand-in for the hubs that publishes the reference data as the release is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import gateway.cli.models
from engines.indextts.recipe import NAME, RECIPE
from gateway.cli import voxgate
from models.bundle import Bundle
from models.store import Store
from tests.engines.indextts.oracle import Oracle
from tests.models.stand_in import Fault, StandIn, stand_in


@pytest.fixture
def server(oracle: Oracle) -> Iterator[StandIn]:
    """Each file of the checkpoint where the recipe looks for it, on both hubs."""
    with stand_in() as server:
        for source in RECIPE.sources:
            files = {}
            for file in source.files:
                place = file.place + file.path if file.place.endswith("/") else file.place or file.path
                if (there := oracle.checkpoints / place).is_file():
                    files[file.path] = there.read_bytes()
            for repository in (source.huggingface, source.modelscope):
                server.repositories.setdefault(repository, {}).update(files)
        yield server


@pytest.fixture
def store(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for name, value in server.environ(VOXGATE_DATA=str(tmp_path), VOXGATE_CONFIG="").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gateway.cli.models.time, "sleep", lambda _: None)
    return Store(tmp_path / "models")


def pull(*args: str) -> None:
    done = CliRunner().invoke(voxgate, ["models", "pull", NAME, "--accept-licence", *args])
    assert done.exit_code == 0, done.stderr


def test_the_release_is_fetched_over_cuts_and_wrong_bytes_and_its_bundle_made(
    server: StandIn, oracle: Oracle, store: Store
) -> None:
    server.faults["gpt.pth"] = [Fault(cut_after=1000), Fault(cut_after=50_000)]
    server.faults["bigvgan_generator.pt"] = [Fault(wrong=True)]
    pull("--keep-download")
    assert server.sent_bytes("gpt.pth") == (oracle.checkpoints / "gpt.pth").stat().st_size
    fetched = store.download(NAME)
    files = [one.relative_to(fetched) for one in fetched.rglob("*") if one.is_file()]
    assert len(files) == sum(len(server.repositories[one.huggingface]) for one in RECIPE.sources)
    for file in files:
        assert (fetched / file).read_bytes() == (oracle.checkpoints / file).read_bytes()
    bundle = Bundle.read(store.bundle(NAME))
    assert bundle.name == NAME
    assert (bundle.folder / "reference").is_dir()


def test_what_only_voices_need_is_left_out_if_asked_and_modelscope_has_the_rest(server: StandIn, store: Store) -> None:
    pull("--hub", "modelscope", "--without-reference", "--precision", "fp32")
    assert all(one.path.startswith("/api/v1/models/") for one in server.asked)
    assert not any(one.file.startswith(("wav2vec2bert", "campplus", "model.safetensors")) for one in server.asked)
    bundle = Bundle.read(store.bundle(NAME))
    assert not (bundle.folder / "reference").exists()
