from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines.contract import Instance
from engines.openai import KIND
from engines.testing import EngineConformance
from tests.engines.openai.servers import KokoroFastAPI, Server


class TestOpenAi(EngineConformance):
    kind = KIND
    instance = Instance("kit", slots=4)
    release_within_s = 0.5

    @pytest.fixture(autouse=True)
    def _stage(self) -> Iterator[None]:
        with Server(KokoroFastAPI()) as server:
            self.options = {"urls": [server.url], "preset": "kokoro-fastapi"}  # type: ignore[misc]
            yield
