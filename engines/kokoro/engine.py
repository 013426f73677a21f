"""The engine behind kind `kokoro`: requests in, audio out sentence by sentence, as many threads as there are slots.

While a sentence is heard the next one is made. Knows nothing about the model's insides (`model`), HTTP or routing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from engines.contract import AudioChunk, EngineInfo, Instance, SpeechRequest
from engines.errors import EngineFault, SpeechError, Unavailable, Unsupported
from engines.kokoro import describe
from engines.kokoro.folder import Files
from engines.kokoro.model import Kokoro
from engines.kokoro.network import Stop
from engines.kokoro.options import KokoroOptions
from engines.kokoro.voices import SAMPLE_RATE_HZ, Catalogue, names_in

#: what the model was trained for; a request beyond is another engine's
_SPEED_MIN, _SPEED_MAX = 0.5, 2.0
#: seconds after which a thread that was told to stop is left alone: the library looks up between two operators
_LEAVE_S = 4.0
#: what is spoken at the start, so that dictionaries are read and memory is allocated before anybody waits for it
_WARM_UP = {"en": "OK.", "zh": "好。"}
_CLOSED = "kokoro was closed while it spoke"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What is there between start and close."""

    model: Kokoro
    catalogue: Catalogue
    threads: ThreadPoolExecutor


class KokoroEngine:
    """Speaks up to `info.slots` requests at once; a further one waits for a thread."""

    def __init__(self, instance: Instance, options: KokoroOptions) -> None:
        self._instance, self._options = instance, options
        self._info = describe(instance, options)
        self._starting = asyncio.Lock()
        self._loaded: _Loaded | None = None
        self._stops: set[Stop] = set()

    @property
    def info(self) -> EngineInfo:
        return self._info

    async def start(self) -> None:
        """Load the model and speak a word. Raises Unavailable."""
        async with self._starting:
            if self._loaded is not None:
                return
            threads = ThreadPoolExecutor(self._info.slots, thread_name_prefix=self._instance.name or "kokoro")
            try:
                catalogue, model = await asyncio.get_running_loop().run_in_executor(threads, self._load)
            except BaseException as error:
                threads.shutdown(wait=False)
                if isinstance(error, (ValueError, OSError)):
                    raise Unavailable(str(error)) from error
                raise
            self._info = describe(self._instance, self._options)
            self._loaded = _Loaded(model, catalogue, threads)

    async def check(self) -> None:
        self._require_loaded()

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak; a chunk for each sentence. Raises Unsupported, InvalidRequest and EngineFault."""
        if request.markup != "plain":
            raise Unsupported("Kokoro takes no markup")
        if not (math.isfinite(request.speed) and _SPEED_MIN <= request.speed <= _SPEED_MAX):
            raise Unsupported(f"Kokoro speaks at a speed of {_SPEED_MIN} to {_SPEED_MAX}", param="speed")
        loaded = self._require_loaded()
        model, threads = loaded.model, loaded.threads
        voice = loaded.catalogue.choose(request.language, request.voice, request.gender)
        model.require_speed(request.speed)
        stop = Stop()
        self._stops.add(stop)
        work: Future[Any]

        def begin(piece: str) -> Future[bytes | None]:
            if stop.told:  # and no thread takes anything more
                raise Unavailable(_CLOSED)
            return threads.submit(model.speak, piece, voice, request.speed, stop)

        work = reading = threads.submit(model.pieces, request.text, request.language, voice)
        try:
            await _done(work)
            first, *others = _result_of(reading)
            work = speaking = begin(first)
            for following in (*others, None):
                await _done(work)
                pcm = _result_of(speaking)
                if pcm is None:
                    raise Unavailable(_CLOSED)
                if following is not None:
                    work = speaking = begin(following)
                yield AudioChunk(pcm, SAMPLE_RATE_HZ)
        finally:
            self._stops.discard(stop)
            stop.now()
            if not work.cancel():
                await _done(work, _LEAVE_S)

    async def close(self) -> None:
        """Stop what speaks (its listeners get Unavailable) and free the model."""
        async with self._starting:
            loaded, self._loaded = self._loaded, None
            for stop in list(self._stops):
                stop.now()
            if loaded is not None:
                await asyncio.get_running_loop().run_in_executor(None, loaded.threads.shutdown)
                loaded.model.close()

    def _require_loaded(self) -> _Loaded:
        if self._loaded is None:
            raise Unavailable("kokoro is not started")
        return self._loaded

    def _load(self) -> tuple[Catalogue, Kokoro]:
        options = self._options
        files = Files.of(self._instance, options)
        catalogue = Catalogue(names_in(files.voices), options.mixes)
        for mix in options.mixes:
            catalogue.require(mix)
        threads = None if options.threads == "auto" else options.threads
        model = Kokoro(files, threads, options.provider, options.gain_db)
        try:
            for language, text in _WARM_UP.items():
                if voice := catalogue.find(language):
                    model.speak(model.pieces(text, language, voice)[0], voice, 1.0, Stop())
        except BaseException:
            model.close()
            raise
        return catalogue, model


async def _done(work: Future[Any], within_s: float | None = None) -> None:
    """Wait until a thread has done with its work, for so long at most. Who stops waiting leaves the work as it is."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def tell(work: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(done.set)

    work.add_done_callback(tell)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(done.wait(), within_s)


def _result_of(work: Future[_T]) -> _T:
    """What a thread's work gave. Raises SpeechError."""
    try:
        return work.result(timeout=0)
    except SpeechError:
        raise
    except Exception as error:
        raise EngineFault(f"{type(error).__name__}: {error}") from error
