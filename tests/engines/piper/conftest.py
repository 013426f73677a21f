"""A folder of little voices, and engines that speak with them in the test's own process, as a worker would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime", reason="pip install 'voxgate[piper]'")
pytest.importorskip("onnx", reason="pip install 'voxgate[indextts]'")
pytest.importorskip("rjieba", reason="pip install 'voxgate[piper]'")

from engines.contract import AudioChunk, Instance, SpeechRequest
from engines.piper import create
from engines.piper.engine import PiperEngine
from engines.piper.options import PiperOptions
from engines.testing import speak_all
from tests.engines.piper.little import PINYIN, make_voice

Say = Callable[..., Coroutine[Any, Any, list[AudioChunk]]]
Begin = Callable[..., Coroutine[Any, Any, PiperEngine]]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one voice of each kind."""
    data = tmp_path_factory.mktemp("home")
    folder = data / "models" / "piper"
    make_voice(folder, "en_US-amy", licence="CC0 1.0")
    make_voice(folder, "en_GB-crowd", speakers=["alice", "bob"], amplitudes=[0.9, 0.02], default_speaker_id=1)
    make_voice(
        folder, "zh_CN-xiao", symbols=PINYIN, phoneme_type="pinyin", espeak=None, language={"code": "zh_CN"}
    )  # fmt: skip
    make_voice(
        folder, "uk_UA-lada", symbols="абвгдежзиклмнопрстухия ,.!?", phoneme_type="text", language={"code": "uk_UA"}
    )
    make_voice(folder, "he_IL-motek", phoneme_type="hebrew", language={"code": "he_IL"})
    return data


@pytest.fixture
async def begin(home: Path) -> AsyncIterator[Begin]:
    """`await begin(slots=2, **options)`: a started engine."""
    begun: list[PiperEngine] = []

    async def start(slots: int = 2, data: Path = home, **options: Any) -> PiperEngine:
        engine = create(Instance("piper", slots=slots, data_dir=data, in_worker=True), PiperOptions(**options))
        assert isinstance(engine, PiperEngine)
        begun.append(engine)
        await engine.start()
        return engine

    yield start
    for engine in begun:
        await engine.close()


@pytest.fixture
def say(begin: Begin) -> Say:
    """Speak a text to its end: `await say("hello", "en", voice="en_US-amy", speed=2.0)`."""

    async def speak(text: str, language: str = "en", **more: Any) -> list[AudioChunk]:
        return await speak_all(await begin(), SpeechRequest(text, language, **more))

    return speak
