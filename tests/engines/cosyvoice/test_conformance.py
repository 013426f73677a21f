"""The conformance kit, on the oracle's tiny model."""

from pathlib import Path

import pytest

from engines.contract import Instance
from engines.testing import EngineConformance


class TestCosyVoice(EngineConformance):
    kind = "cosyvoice"
    options = {"unfinished": "keep"}  # noqa: RUF012  # a model of random weights may find no end

    @pytest.fixture(autouse=True)
    def _stage(self, oracle: object, home: Path, opened_once: None) -> None:
        self.instance = Instance("kit", data_dir=home)  # type: ignore[misc]
