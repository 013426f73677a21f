from __future__ import annotations

from engines.espeak import KIND
from engines.testing import EngineConformance


class TestEspeak(EngineConformance):
    kind = KIND
    release_within_s = 0.1
