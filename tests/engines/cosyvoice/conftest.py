"""What the tests of CosyVoice share: the reference data, and what is made of it once a session."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from engines.cosyvoice.export import export
from engines.cosyvoice.layout import Release
from engines.cosyvoice.model import CosyVoice
from engines.cosyvoice.recipe import NAME, ExportOptions
from tests.engines.cosyvoice.acoustic import Parts, load
from tests.engines.cosyvoice.oracle import Oracle, find_oracle
from tests.engines.cosyvoice.releases import copy_release


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """Checkpoint and golden arrays of the tiny model."""
    return find_oracle()


@pytest.fixture
def release(oracle: Oracle) -> Release:
    """The oracle's checkpoint, with nothing taken of it yet."""
    return Release.find(oracle.folder)


@pytest.fixture(scope="session")
def parts(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    """Flow and vocoder in float32."""
    return load(Release.find(oracle.folder), tmp_path_factory.mktemp("acoustic"))


@pytest.fixture(scope="session")
def home(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the oracle's model as a bundle. Nobody writes into it."""
    folder = tmp_path_factory.mktemp("cosyvoice")
    release = copy_release(oracle, folder / "release")
    export(release, folder / "data" / "models" / NAME, ExportOptions(), lambda doing, done, whole: None)
    return folder / "data"


@pytest.fixture(scope="session")
def opened() -> Callable[..., CosyVoice]:
    """Opens a model, once."""
    return cache(CosyVoice.open)


@pytest.fixture
def opened_once(opened: Callable[..., CosyVoice], monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is opened once for all engines of this process: it holds nothing that a request changes."""
    monkeypatch.setattr("engines.cosyvoice.engine.CosyVoice.open", opened)
