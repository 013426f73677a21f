"""The conformance kit, on tiny models of both dialects."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from engines.contract import Instance
from engines.testing import EngineConformance


class TestKokoro(EngineConformance):
    kind = "kokoro"

    @pytest.fixture(autouse=True)
    def _stage(self, home: Path) -> None:
        self.instance = Instance("kit", data_dir=home, in_worker=True)  # type: ignore[misc]


class TestKokoroZh(EngineConformance):
    kind = "kokoro"
    options: ClassVar[Mapping[str, Any]] = {"bundle": "kokoro-zh"}

    @pytest.fixture(autouse=True)
    def _stage(self, home_zh: Path) -> None:
        self.instance = Instance("kit", data_dir=home_zh, in_worker=True)  # type: ignore[misc]
