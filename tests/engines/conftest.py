"""What the tests of all engines share: which of them need reference data."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever asks for the oracle, be it through another fixture, carries its mark."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "oracle" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.oracle)
