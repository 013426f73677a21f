"""The conformance kit, on little voices."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.contract import Instance
from engines.testing import EngineConformance


class TestPiper(EngineConformance):
    kind = "piper"

    @pytest.fixture(autouse=True)
    def _stage(self, home: Path) -> None:
        self.instance = Instance("kit", slots=2, data_dir=home, in_worker=True)  # type: ignore[misc]
