from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from engines.contract import Instance
from engines.sambert import KIND
from engines.testing import EngineConformance
from tests.engines.sambert.beside import service_beside
from tests.engines.sambert.service import KEY

VARIABLE = "VOXGATE_CONFORMANCE_KEY"


@pytest.fixture(autouse=True, scope="class")
def _in_front_of_the_service(request: pytest.FixtureRequest) -> Iterator[None]:
    with service_beside() as service, pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, KEY)
        patch.setattr(request.cls, "options", {**request.cls.options, "endpoint": service.endpoint})
        yield


class TestSambert(EngineConformance):
    kind = KIND
    options: ClassVar = {"api_key_env": VARIABLE}
    instance = Instance("kit", slots=3)


class TestCosyVoice(EngineConformance):
    kind = KIND
    options: ClassVar = {"api_key_env": VARIABLE, "model": "cosyvoice-v3-flash"}
    instance = Instance("kit", slots=3)
