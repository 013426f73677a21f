"""The conformance kit, on the reference model."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from engines.contract import Instance
from engines.testing import EngineConformance
from tests.engines.indextts.home import OPTIONS
from tests.engines.indextts.oracle import Oracle


class TestIndexTts(EngineConformance):
    kind = "indextts"
    options = OPTIONS
    text = ""

    @pytest.fixture(autouse=True)
    def _stage(self, home: Path, oracle: Oracle, opened_once: None) -> None:
        self.instance = Instance("kit", slots=3, data_dir=home, in_worker=True)  # type: ignore[misc]
        self.text = oracle.texts()[0]["text"]  # of what the little vocabulary knows

    @property
    def sentences(self) -> Mapping[str, str]:  # type: ignore[override]
        return {"zh": self.text, "en": self.text}
