"""The engine behind kind `indextts`: requests in, audio out, everything that computes in one thread of its own.

Knows nothing about networks (`model`) or whose work comes first (`schedule`), nor about HTTP and routing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import AsyncGenerator
from dataclasses import replace

from engines.contract import AudioChunk, EngineInfo, Instance, SpeechRequest
from engines.errors import EngineFault, InvalidRequest, SpeechError, Unavailable, Unsupported, near_names
from engines.indextts import LANGUAGES, describe, voices_folder
from engines.indextts.memory import require_memory
from engines.indextts.model import IndexTts
from engines.indextts.options import IndexTtsOptions
from engines.indextts.outlet import Outlet
from engines.indextts.schedule import Schedule
from engines.indextts.shelf import Card, Shelf
from engines.indextts.speech import Speech
from models.bundle import Bundle

logger = logging.getLogger("voxgate.indextts")

_SPEED_MIN, _SPEED_MAX = 0.25, 4.0
#: what is spoken at the start, so that the first request finds memory allocated and code paged in
_WARM_UP, _WARM_UP_CODES = "你好。", 16
_MASK = 2**64 - 1
#: seconds after which a thread that was told to end is left alone: its process ends too
_LEAVE_S = 4.0


class IndexTtsEngine:
    """Speaks up to `info.slots` requests at once, as one batch."""

    def __init__(self, instance: Instance, options: IndexTtsOptions) -> None:
        self._instance, self._options = instance, options
        self._shelf = Shelf(voices_folder(instance))
        self._info = describe(instance, options, shelf=self._shelf)
        self._cards = self._shelf.cards()
        self._bundle: Bundle | None = None  # that is loaded, whatever has taken its place since
        self._starting = asyncio.Lock()
        self._worker: _Worker | None = None

    @property
    def info(self) -> EngineInfo:
        """With the voices that are there now: the folder is looked at each time."""
        if (cards := self._shelf.cards()) != self._cards:
            self._look(cards)
        return self._info

    async def start(self) -> None:
        """Load the networks and speak a word. Raises Unavailable."""
        async with self._starting:
            if self._worker is not None and self._worker.alive:
                return
            require_memory(self._instance, self._options)
            worker = _Worker(self._instance, self._options)
            try:
                await worker.load()
                assert worker.model is not None
                self._bundle = worker.model.bundle
                self._look(self._shelf.cards())
                await self._warm_up(worker)
            except BaseException:
                self._bundle = None
                await worker.end()
                raise
            self._worker = worker

    async def check(self) -> None:
        if self._worker is None or not self._worker.alive:
            raise Unavailable("indextts is not started")

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak; audio comes piece by piece. Raises Unsupported, InvalidRequest and EngineFault."""
        voice = self._require_able(request)
        await self.check()
        assert self._worker is not None
        speaking = self._worker.speak(
            replace(request, voice=voice),
            self._seed(request),
            self._options.max_codes,
            keeps_unfinished=self._options.unfinished == "keep",
        )
        async with contextlib.aclosing(speaking) as chunks:
            async for chunk in chunks:
                yield chunk

    async def close(self) -> None:
        """Stop what speaks (its listeners get Unavailable) and free the networks."""
        async with self._starting:
            worker, self._worker, self._bundle = self._worker, None, None
            if worker is not None:
                await worker.end()

    def _look(self, cards: tuple[Card, ...]) -> None:
        self._info = describe(self._instance, self._options, shelf=self._shelf, bundle=self._bundle)
        self._cards = cards

    def _seed(self, request: SpeechRequest) -> int:
        return (self._options.seed if request.seed is None else request.seed) & _MASK

    def _require_able(self, request: SpeechRequest) -> str:
        """The voice that is to speak."""
        info = self.info
        if request.language not in LANGUAGES:
            raise Unsupported(f"IndexTTS-2 speaks {' and '.join(LANGUAGES)}, not {request.language!r}")
        if request.markup != "plain":
            raise Unsupported("IndexTTS-2 takes no markup")
        names = [voice.id for voice in info.voices]
        if request.voice and request.voice not in names:
            raise Unsupported(
                f"there is no voice {request.voice!r} for this engine: `voxgate voices add` makes one; "
                f"{near_names(request.voice, names)}"
            )
        if not names:
            raise Unsupported("this engine has no voice: `voxgate voices add` makes one")
        if not (math.isfinite(request.speed) and _SPEED_MIN <= request.speed <= _SPEED_MAX):
            raise InvalidRequest(f"speed must be between {_SPEED_MIN} and {_SPEED_MAX}", param="speed")
        return request.voice or info.default_voice(request.language, request.gender) or names[0]

    async def _warm_up(self, worker: _Worker) -> None:
        """With the first voice that can be spoken with. Raises Unavailable when the networks fail; of what the text
        front end makes of the word nothing depends."""
        for voice in self.info.voices:
            request = SpeechRequest(_WARM_UP, LANGUAGES[0], voice.id)
            try:
                async for _ in worker.speak(request, 0, _WARM_UP_CODES, keeps_unfinished=True):
                    pass
                return
            except (Unsupported, InvalidRequest) as error:
                logger.warning("%s was not warmed up with %s: %s", self._instance.name, voice.id, error.message)
            except EngineFault as error:
                raise Unavailable(f"a first try to speak failed: {error.message}") from error


class _Worker:
    """The thread that owns the model, and the line of those who want something of it."""

    def __init__(self, instance: Instance, options: IndexTtsOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = threading.Condition()
        self._arrived: list[Speech] = []
        self._changed = False
        self._ends = False
        self._loaded: asyncio.Future[None] = self._loop.create_future()
        self.model: IndexTts | None = None  # the thread's own
        self._thread = threading.Thread(
            target=self._run, args=(instance, options), name=instance.name or "indextts", daemon=True
        )

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._ends

    async def load(self) -> None:
        """Raises Unavailable."""
        self._thread.start()
        await asyncio.shield(self._loaded)

    async def speak(
        self, request: SpeechRequest, seed: int, max_codes: int, *, keeps_unfinished: bool
    ) -> AsyncGenerator[AudioChunk, None]:
        outlet = Outlet(self._notify)
        with self._news:
            if self._ends:
                raise Unavailable("indextts was closed")
            self._arrived.append(Speech(request, outlet, seed, max_codes, keeps_unfinished))
            self._changed = True
            self._news.notify()
        try:
            while (chunk := await outlet.get()) is not None:
                yield chunk
        finally:
            outlet.close()

    async def end(self) -> None:
        """Break off what speaks. The thread ends at its next step."""
        with self._news:
            self._ends = True
            self._news.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _LEAVE_S)

    def _notify(self) -> None:
        with self._news:
            self._changed = True
            self._news.notify()

    # on the thread

    def _run(self, instance: Instance, options: IndexTtsOptions) -> None:
        try:
            model = self.model = IndexTts.load(instance, options)
        except BaseException as error:  # whoever waits for it hears of it
            self._tell(error if isinstance(error, SpeechError) else Unavailable(f"the model cannot be loaded: {error}"))
            return
        schedule = Schedule(model, options.ahead_s)
        self._tell(None)
        try:
            busy = True
            while self._take_in(schedule, wait=not busy):
                try:
                    busy = schedule.turn()
                except Exception as error:
                    logger.exception("whatever was spoken is broken off")
                    schedule.end(EngineFault(f"indextts failed: {type(error).__name__}: {error}"))
        finally:
            with self._news:
                self._ends = True
                self._hand_over(schedule)
            schedule.end(Unavailable("indextts was closed while it spoke"))

    def _take_in(self, schedule: Schedule, *, wait: bool) -> bool:
        """Take in who arrived, after waiting for news if there is nothing else to do; False: the end."""
        with self._news:
            while wait and not (self._ends or self._changed):
                self._news.wait()
            self._changed = False
            self._hand_over(schedule)
            return not self._ends

    def _hand_over(self, schedule: Schedule) -> None:
        for speech in self._arrived:
            schedule.add(speech)
        self._arrived.clear()

    def _tell(self, error: SpeechError | None) -> None:
        def tell() -> None:
            if self._loaded.done():
                return
            if error is None:
                self._loaded.set_result(None)
            else:
                self._loaded.set_exception(error)

        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(tell)
