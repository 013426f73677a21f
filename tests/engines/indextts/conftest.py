"""What the tests of IndexTTS-2 share: the reference data, and what is made of it once a session."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from onnxruntime import InferenceSession

from engines.indextts.export import export
from engines.indextts.layout import Release
from engines.indextts.recipe import NAME, ExportOptions
from models.bundle import Bundle
from models.session import open_session
from tests.engines.indextts.acoustic import Acoustic, load
from tests.engines.indextts.home import make_home
from tests.engines.indextts.oracle import Oracle, find_oracle


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """Checkpoint, recording and golden arrays of the tiny model."""
    return find_oracle()


@pytest.fixture
def release(oracle: Oracle) -> Release:
    """The oracle's checkpoint, with nothing taken of it yet."""
    return Release.find(oracle.checkpoints)


@pytest.fixture(scope="session")
def acoustic(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Acoustic:
    """Length regulator, estimator and vocoder in float32."""
    return load(Release.find(oracle.checkpoints), tmp_path_factory.mktemp("acoustic"), "fp32")


@pytest.fixture(scope="session")
def bundle(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The oracle's checkpoint, exported as fp32. Nobody writes into it: copy what is to be broken."""
    return export_quietly(oracle.checkpoints, tmp_path_factory.mktemp("fp32") / NAME, ExportOptions(precision="fp32"))


@pytest.fixture(scope="session")
def bundle_int8(oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The same as int8."""
    return export_quietly(oracle.checkpoints, tmp_path_factory.mktemp("int8") / NAME, ExportOptions(precision="int8"))


@pytest.fixture(scope="session")
def home(oracle: Oracle, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with this bundle and the voices `narrator` and `other`. Nobody writes into it."""
    return make_home(tmp_path_factory.mktemp("home") / "data", bundle, oracle, "narrator", "other")


@pytest.fixture(scope="session")
def opened() -> Callable[..., InferenceSession]:
    """Opens a graph, once."""
    return cache(lambda path, threads: open_session(path, threads))


@pytest.fixture
def opened_once(opened: Callable[..., InferenceSession], monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are opened once for all engines of this process: they hold nothing that a run changes.

    For tests that ask for it alone: others write another graph where one was.
    """
    for module in ("model", "gpt"):
        by_name = f"engines.indextts.{module}.open_session"
        monkeypatch.setattr(by_name, lambda path, threads=None: opened(path.resolve(), threads))


def export_quietly(source: Path, folder: Path, options: ExportOptions) -> Bundle:
    return export(source, folder, options, lambda doing, done, whole: None)
