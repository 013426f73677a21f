"""Homes of tiny Kokoros, made once: nothing in them is changed by a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines.kokoro.tiny import V1_1, make_home


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1.0 as kokoro-onnx publishes it: `tokens`, an archive of voices, config.json."""
    return make_home(tmp_path_factory.mktemp("kokoro"))


@pytest.fixture(scope="session")
def home_zh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1.1-zh as the exports for browsers are: `input_ids`, a folder of voices, tokenizer.json."""
    levels = {"zf_001": 0.4, "zm_010": 0.8, "af_maple": 0.2}
    folder = tmp_path_factory.mktemp("kokoro-zh")
    return make_home(folder, name="kokoro-zh", tokens="input_ids", vocabulary=V1_1, levels=levels)
