"""Real engines and libraries, loaded into the test's own process as a worker would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import espeakng_loader
import pytest

from engines.contract import AudioChunk, Engine, Instance, SpeechRequest
from engines.espeak import EspeakOptions, create
from engines.espeak.binding import Library
from engines.testing import speak_all

Build = Callable[..., Engine]
OpenLibrary = Callable[[], Library]
Say = Callable[..., Coroutine[Any, Any, list[AudioChunk]]]


@pytest.fixture(scope="session")
def build() -> Build:
    """`build(slots, **options)`: an engine, not started."""

    def new(slots: int = 2, **options: Any) -> Engine:
        return create(Instance("espeak", slots=slots, in_worker=True), EspeakOptions(**options))

    return new


@pytest.fixture
async def engine(build: Build) -> AsyncIterator[Engine]:
    started = build()
    await started.start()
    yield started
    await started.close()


@pytest.fixture
def say(engine: Engine) -> Say:
    """Speak a text to its end: `await say("hello", "en", speed=2.0)`."""

    async def speak(text: str, language: str = "zh", **more: Any) -> list[AudioChunk]:
        return await speak_all(engine, SpeechRequest(text, language, **more))

    return speak


@pytest.fixture
def open_library() -> Iterator[OpenLibrary]:
    opened: list[Library] = []

    def new() -> Library:
        opened.append(Library(Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())))
        return opened[-1]

    yield new
    for library in opened:
        library.close()


@pytest.fixture
def library(open_library: OpenLibrary) -> Library:
    return open_library()
