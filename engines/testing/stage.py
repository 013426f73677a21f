"""The stage on which an engine is put through its rules: a loop of its own, sentences, a patient watchdog.

The package's own module holds the rules; this one knows none of them.
"""

from __future__ import annotations

import asyncio
import functools
import os
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from engines.contract import AudioChunk, Engine, EngineKind, Instance, Options, SpeechRequest
from engines.errors import SpeechError, Unsupported
from engines.registry import Registry
from engines.testing.listening import speak_all

#: what is spoken, in each language that the engine speaks; a subclass may give its own `sentences`
SENTENCES: Mapping[str, str] = {
    "zh": "今天天气很好，我们一起去公园散步吧。",
    "yue": "今日天氣好好，我哋一齊去公園散步啦。",
    "en": "The weather is fine today, so let us walk to the park.",
    "ja": "きょうはてんきがいいので、こうえんへいきましょう。",
    "ko": "오늘은 날씨가 좋으니 공원에 갑시다.",
    "de": "Heute ist das Wetter schön, gehen wir in den Park.",
    "fr": "Il fait beau aujourd'hui, allons au parc.",
    "es": "Hoy hace buen tiempo, vamos al parque.",
}

_Scenario = Callable[[Any, Engine], Coroutine[Any, Any, None]]
_T = TypeVar("_T")


def on_stage(scenario: _Scenario) -> Callable[[Stage], None]:
    """Make a plain test of a coroutine that wants a started engine: no asyncio plugin is needed."""

    def test(self: Stage) -> None:
        self.run(lambda engine: scenario(self, engine))

    # Not functools.wraps: pytest would follow it to the coroutine and look for a fixture `engine`.
    test.__name__, test.__qualname__, test.__doc__ = scenario.__name__, scenario.__qualname__, scenario.__doc__
    return test


class Stage:
    """Makes and starts engines for scenarios. The class attributes are what a subclass may set."""

    kind: ClassVar[EngineKind | str]
    options: ClassVar[Mapping[str, Any]] = {}
    instance: ClassVar[Instance | None] = None  # None: where the kind runs, with a data directory that is not there yet
    sentences: ClassVar[Mapping[str, str]] = SENTENCES
    voice: ClassVar[str] = ""  # the engine's own name of a voice; empty: its default
    release_within_s: ClassVar[float] = 1.0  # how soon a closed stream must have let go
    patience_s: ClassVar[float] = 50.0  # for one test, start included: an engine that waits for ever ends here

    def make_engine(self) -> Engine:
        """A new engine, not started. Override it for an engine that no kind creates."""
        kind, instance, options = self.kind_instance_options()
        return kind.create(instance, options)

    def run(self, scenario: Callable[[Engine], Awaitable[None]]) -> None:
        """Play one scenario with a started engine, in an event loop of its own, and close the engine."""

        async def play() -> None:
            engine = self.make_engine()
            try:
                await engine.start()
                await scenario(engine)
            finally:
                await engine.close()

        async def play_with_patience() -> None:
            # A thread's timer, not the loop's: one scenario turns the loop's clock.
            loop, playing, expired = asyncio.get_running_loop(), asyncio.ensure_future(play()), threading.Event()

            def give_up() -> None:
                expired.set()
                loop.call_soon_threadsafe(playing.cancel)

            timer = threading.Timer(self.patience_s, give_up)
            timer.start()
            try:
                await playing
            except asyncio.CancelledError:
                assert not expired.is_set(), f"the engine kept us waiting for {self.patience_s} s"
                raise
            finally:
                timer.cancel()
                timer.join()

        self.skip_if_missing()
        # asyncio's own loop whatever the policy says: its clock can be turned.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(play_with_patience())

    def request(self, engine: Engine, **changes: Any) -> SpeechRequest:
        """A sentence in the first language of `sentences` that the engine speaks."""
        language = next((one for one in self.sentences if engine.info.speaks(one)), None)
        assert language is not None, "give `sentences` in a language that the engine speaks"
        wanted: dict[str, Any] = {"text": self.sentences[language], "language": language, "voice": self.voice}
        return SpeechRequest(**(wanted | changes))

    @functools.cached_property
    def _registry(self) -> Registry:
        return Registry.load()

    def kind_instance_options(self) -> tuple[EngineKind, Instance, Options]:
        kinds = self._registry.kinds
        if isinstance(self.kind, str) and self.kind not in kinds:
            broken = "; ".join(f"{one.name} {one.error}" for one in self._registry.plugins if one.error)
            raise LookupError(f"no engine kind {self.kind!r} is installed; known: {', '.join(kinds)}. {broken}")
        kind = kinds[self.kind] if isinstance(self.kind, str) else self.kind
        nowhere = Path(tempfile.gettempdir()) / f"voxgate-kit-{os.getpid()}"
        in_worker = kind.isolation == "process"
        instance = self.instance or Instance("kit", data_dir=nowhere, in_worker=in_worker, kinds=kinds)
        return kind, instance, kind.options.model_validate(dict(self.options), context={"kinds": kinds})

    def skip_if_missing(self) -> None:
        if type(self).make_engine is not Stage.make_engine:
            return
        kind, instance, options = self.kind_instance_options()
        if kind.missing and (missing := kind.missing(instance, options)):
            import pytest

            pytest.skip(f"{kind.name} is {missing.state}: {missing.advice}")

    async def speaks(self, engine: Engine) -> list[AudioChunk]:
        return await speak_all(engine, self.request(engine))

    async def all_slots_speak(self, engine: Engine) -> None:
        """Every slot is free: as many requests as slots get their first chunk, while all are open."""
        streams = [engine.synthesize(self.request(engine)) for _ in range(engine.info.slots)]
        try:
            async with asyncio.timeout(self.patience_s / 2):
                await finish_all(*(anext(stream) for stream in streams))
        except TimeoutError:
            raise AssertionError("a slot was not released: the requests after it wait for ever") from None
        finally:
            for stream in streams:
                await stream.aclose()

    async def cancel_many(self, engine: Engine, after_chunks: int) -> None:
        """Close one stream more than there are slots, each after so many chunks; then all slots must be free."""
        for _ in range(engine.info.slots + 1):
            stream = engine.synthesize(self.request(engine))
            for _ in range(after_chunks):
                await anext(stream, None)
            await self.closes(stream)
        await self.all_slots_speak(engine)

    async def closes(self, stream: AsyncGenerator[AudioChunk, None]) -> None:
        try:
            async with asyncio.timeout(self.release_within_s):
                await stream.aclose()
        except TimeoutError:
            raise AssertionError(f"closing a stream took more than {self.release_within_s} s") from None

    async def is_unsupported(self, engine: Engine, request: SpeechRequest) -> None:
        try:
            await speak_all(engine, request)
        except Unsupported:
            return
        except SpeechError as error:
            raise AssertionError(f"raised {error!r} instead of Unsupported") from error
        raise AssertionError("spoke instead of raising Unsupported")

    async def longest_stall_s(self, engine: Engine) -> float:
        """How long, at most, the event loop did not get round to another task during one speech."""
        longest_s = 0.0

        async def tick() -> None:
            nonlocal longest_s
            while True:
                before_s = time.monotonic()
                await asyncio.sleep(0.005)
                longest_s = max(longest_s, time.monotonic() - before_s - 0.005)

        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0.01)
        try:
            await self.speaks(engine)
            await asyncio.sleep(0.01)  # the tick that a last block held up
        finally:
            ticking.cancel()
        return longest_s


class WatchedRequest(SpeechRequest):
    """A copy of a request that remembers which of its fields were read."""

    def __init__(self, request: SpeechRequest) -> None:
        super().__init__(**{field.name: getattr(request, field.name) for field in fields(request)})
        self.__dict__["read"] = set()

    def __getattribute__(self, name: str) -> Any:
        if name in SpeechRequest.__dataclass_fields__:
            self.__dict__["read"].add(name)
        return super().__getattribute__(name)

    def read_fields(self) -> list[str]:
        return sorted(self.__dict__["read"])


async def next_or_none(stream: AsyncGenerator[AudioChunk, None]) -> AudioChunk | None:
    return await anext(stream, None)


async def finish_all(*awaitables: Awaitable[_T]) -> list[_T]:
    """The results of all, waited for to the last one; raises the first error only then, when nothing runs on."""
    results = await asyncio.gather(*awaitables, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]
