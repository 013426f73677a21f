"""What the tests of CosyVoice share: the reference data, and what is made of it once a session."""

from pathlib import Path

import pytest

from engines.cosyvoice.layout import Release
from tests.engines.cosyvoice.acoustic import Parts, load
from tests.engines.cosyvoice.oracle import Oracle, find_oracle


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for the oracle, be it through another fixture, carries its mark."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "oracle" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.oracle)


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
