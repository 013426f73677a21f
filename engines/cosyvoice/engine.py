"""The engine behind kind `cosyvoice`: requests in, audio out in pieces, as many threads as there are slots.

A thread does one small piece of work at a time, a token or a step of the solver, so that one who left is noticed.
Knows nothing about the model's insides (`model`), HTTP or routing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from engines.contract import AudioChunk, EngineInfo, Instance, SpeechRequest
from engines.cosyvoice import LANGUAGES, bundle_folder, describe
from engines.cosyvoice.model import Array, CosyVoice
from engines.cosyvoice.options import CosyVoiceOptions
from engines.errors import EngineFault, SpeechError, Unavailable, Unsupported

#: what stretching a mel bears
_SPEED_MIN, _SPEED_MAX = 0.5, 2.0
#: seconds after which a thread that is at a piece of work is left alone
_LEAVE_S = 4.0
#: what is spoken at the start, and the rows that distances are computed for, before anybody waits for it
_WARM_UP, _WARM_ROWS = "好。", (512, 768)
_CLOSED = "cosyvoice was closed while it spoke"


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What is there between start and close."""

    model: CosyVoice
    threads: ThreadPoolExecutor


class CosyVoiceEngine:
    """Speaks up to `info.slots` requests at once; a further one waits for a thread."""

    def __init__(self, instance: Instance, options: CosyVoiceOptions) -> None:
        self._instance, self._options = instance, options
        self._info = describe(instance, options)
        self._starting = asyncio.Lock()
        self._loaded: _Loaded | None = None

    @property
    def info(self) -> EngineInfo:
        return self._info

    async def start(self) -> None:
        """Load the model and speak a word. Raises Unavailable."""
        async with self._starting:
            if self._loaded is not None:
                return
            threads = ThreadPoolExecutor(self._info.slots, thread_name_prefix=self._instance.name or "cosyvoice")
            try:
                model = await asyncio.get_running_loop().run_in_executor(threads, self._load)
            except BaseException as error:
                threads.shutdown(wait=False)
                if isinstance(error, (ValueError, OSError, KeyError, TypeError)):
                    raise Unavailable(str(error)) from error
                raise
            self._info = describe(self._instance, self._options)
            self._loaded = _Loaded(model, threads)

    async def check(self) -> None:
        self._require_loaded()

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak; a chunk for every two seconds, or for every sentence at another speed than 1. Raises Unsupported,
        InvalidRequest, Unavailable and EngineFault."""
        if request.markup != "plain":
            raise Unsupported("CosyVoice takes no markup")
        if not (math.isfinite(request.speed) and _SPEED_MIN <= request.speed <= _SPEED_MAX):
            raise Unsupported(f"CosyVoice speaks at a speed of {_SPEED_MIN} to {_SPEED_MAX}", param="speed")
        loaded = self._require_loaded()
        speaking = loaded.model.speak(
            request.text,
            self._speaker(request, loaded.model),
            request.speed,
            request.seed,
            keeps_unfinished=self._options.unfinished == "keep",
        )
        while True:
            wave = await self._next(loaded, speaking)
            if wave is None:
                return
            yield AudioChunk(np.clip(wave * 32767, -32767, 32767).astype("<i2").tobytes(), loaded.model.sample_rate)

    async def close(self) -> None:
        """Stop what speaks (its listeners get Unavailable) and free the model."""
        async with self._starting:
            loaded, self._loaded = self._loaded, None
            if loaded is not None:
                await asyncio.get_running_loop().run_in_executor(None, loaded.threads.shutdown)

    async def _next(self, loaded: _Loaded, speaking: Iterator[Array | None]) -> Array | None:
        """The next wave that has samples; None at the end."""
        end = object()
        while True:
            if self._loaded is not loaded:
                raise Unavailable(_CLOSED)
            work: asyncio.Future[Any] = asyncio.get_running_loop().run_in_executor(loaded.threads, next, speaking, end)
            try:
                made = await asyncio.shield(work)
            except asyncio.CancelledError:  # nobody listens any more; the thread may be in the middle of it
                await asyncio.wait([work], timeout=_LEAVE_S)
                if work.done() and not work.cancelled():
                    work.exception()  # seen
                raise
            except SpeechError:
                raise
            except Exception as error:
                raise EngineFault(f"{type(error).__name__}: {error}") from error
            if made is end:
                return None
            if made is not None and len(made):
                return np.asarray(made)

    def _speaker(self, request: SpeechRequest, model: CosyVoice) -> Array:
        if request.language.partition("-")[0] not in LANGUAGES:
            raise Unsupported(f"CosyVoice speaks {', '.join(LANGUAGES)}, not {request.language!r}", param="language")
        name = request.voice or self._info.default_voice(request.language, request.gender) or next(iter(model.speakers))
        if name not in model.speakers:
            raise Unsupported(f"CosyVoice has no speaker {name!r}; it has {', '.join(model.speakers)}", param="voice")
        return model.speakers[name]

    def _require_loaded(self) -> _Loaded:
        if self._loaded is None:
            raise Unavailable("cosyvoice is not started")
        return self._loaded

    def _load(self) -> CosyVoice:
        options = self._options
        threads = None if options.threads == "auto" else options.threads
        model = CosyVoice.open(bundle_folder(self._instance, options), threads, options.steps, options.vocoder)
        for _ in model.speak(_WARM_UP, next(iter(model.speakers.values())), seed=0):
            pass
        for rows in _WARM_ROWS:
            model.lm.distances(rows)
        return model
