"""Real workers for tests: a plugin found by its entry point, engines that are closed, processes that are waited for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from tests.engines.worker.workplace import PLUGIN, ROOT, Workplace


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the drill plugin is installed, as far as entry points can tell."""
    folder = tmp_path_factory.mktemp("plugin")
    info = folder / "voxgate_drill-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: voxgate-drill\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[voxgate.engines]\ndrill = voxgate_drill\n")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
async def place(plugin: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workplace]:
    path = os.pathsep.join(map(str, (plugin, PLUGIN, ROOT)))
    monkeypatch.setenv("PYTHONPATH", path)
    workplace = Workplace(home)
    yield workplace
    await workplace.leave()


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """What is open before is open afterwards, and nothing more."""

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(psutil.Process().children(recursive=True))

    before = held()
    yield
    assert held() == before
