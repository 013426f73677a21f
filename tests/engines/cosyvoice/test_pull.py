"""`voxgate models pull cosyvoice`, from a stand-in for the hubs that publishes the oracle's release."""

import pytest
from click.testing import CliRunner

import gateway.cli.models
from engines.contract import Instance
from engines.cosyvoice import describe, missing
from engines.cosyvoice.options import CosyVoiceOptions
from engines.cosyvoice.recipe import RECIPE
from engines.cosyvoice.tokenizer import RANKS_NAME
from gateway.cli import voxgate
from tests.engines.cosyvoice.releases import copy_release
from tests.models.stand_in import Fault, stand_in


@pytest.fixture
def server(oracle, tmp_path, monkeypatch):
    """The hub; and a package of Whisper's with the vocabulary, which the hub does not have."""
    release = copy_release(oracle, tmp_path / "release")
    assets = tmp_path / "site" / "whisper" / "assets"
    assets.mkdir(parents=True)
    (assets.parent / "__init__.py").write_text("raise ImportError('nobody is to import this')")
    (release / RANKS_NAME).rename(assets / RANKS_NAME)
    monkeypatch.syspath_prepend(tmp_path / "site")
    with stand_in() as server:
        files = {one.name: one.read_bytes() for one in release.iterdir()}
        server.repositories[RECIPE.sources[0].huggingface] = files
        for name, value in server.environ(VOXGATE_DATA=str(tmp_path / "data"), VOXGATE_CONFIG="").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(gateway.cli.models.time, "sleep", lambda _: None)
        yield server


def test_the_release_is_fetched_and_becomes_a_bundle(server, tmp_path):
    server.faults["llm.pt"] = [Fault(cut_after=1000)]
    done = CliRunner().invoke(voxgate, ["models", "pull", "cosyvoice", "--accept-licence"])
    assert done.exit_code == 0, done.stderr
    instance = Instance("cosyvoice", data_dir=tmp_path / "data")
    assert missing(instance, CosyVoiceOptions()) is None
    assert describe(instance, CosyVoiceOptions()).voices
    assert CliRunner().invoke(voxgate, ["models", "verify", "cosyvoice"]).exit_code == 0
