"""The engine behind kind `sambert`: a request becomes tasks at Model Studio, and what is heard there becomes chunks.

Knows nothing about frames and connections (`pool`), nor about HTTP and routing. websockets is imported at its start.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import TYPE_CHECKING

from engines.contract import AudioChunk, EngineInfo, Instance, SpeechRequest
from engines.errors import InvalidRequest, Unavailable, Unsupported, near_names
from engines.remote.credentials import Key, NoKey
from engines.remote.pcm import WholeSamples
from engines.sambert import describe
from engines.sambert.options import SambertOptions
from engines.sambert.pieces import pieces_of
from engines.sambert.protocol import Audio, Finished, Sentence, Task
from engines.sambert.task import task_of
from engines.sambert.timeline import Timeline
from engines.sambert.times import Times
from engines.sambert.voices import CloudVoice

if TYPE_CHECKING:
    from engines.sambert.pool import Pool

logger = logging.getLogger("voxgate.sambert")

#: of the parameter `rate`
_SPEED_MIN, _SPEED_MAX = 0.5, 2.0


class SambertEngine:
    """Speaks up to `info.slots` requests at once, each as one task after another."""

    def __init__(
        self, instance: Instance, options: SambertOptions, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._instance, self._options, self._clock = instance, options, clock
        self._info = describe(instance, options)
        self._voices = {voice.id: voice for voice in options.all_voices}
        self._absent_until_s: dict[str, float] = {}  # voices that the service does not have, or not for this account
        self._refused: Key | None = None  # by the service, for minutes
        self._starting = asyncio.Lock()
        self._pool: Pool | None = None

    @property
    def info(self) -> EngineInfo:
        return self._info

    async def start(self) -> None:
        """Connects nowhere: whether the key is right shows with the first task. Raises Unavailable without a key."""
        async with self._starting:
            if self._pool is None:
                self._key()
                self._pool = await asyncio.to_thread(self._make_pool)

    async def check(self) -> None:
        """Is there still a key. The service is not asked: that would be a handshake every few seconds, all day.

        Raises Unavailable, too, where one that was refused has been replaced: starting anew ends the minutes' wait.
        """
        self._started()
        key, refused = await asyncio.to_thread(self._key), self._refused
        if refused not in (None, key):
            self._refused = None
            raise Unavailable("the speech service's key was replaced, which it had refused")

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak; audio comes as the service sends it. Raises Unsupported, InvalidRequest, Unavailable, Throttled,
        Refused and EngineFault."""
        voice = self._require_able(request)
        pool = self._started()
        timeline = Timeline(self._options.rate_of(voice))
        for text in pieces_of(request):
            task, key = task_of(self._options, voice, request, text), self._key()
            try:
                async with self._place(key), aclosing(self._heard(pool, task, timeline)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except Unsupported as error:
                if error.retry_after_s:  # it is the voice, and will be a while
                    self._absent_until_s[voice.id] = self._clock() + error.retry_after_s
                raise
            except Unavailable as error:
                if error.retry_after_s and self._key() != key:
                    error.retry_after_s = None  # the key was renewed meanwhile: worth another try at once
                elif error.retry_after_s:
                    self._refused = key
                raise
            self._refused = None
        if rest := timeline.end():
            yield rest

    async def close(self) -> None:
        """Close all connections; what still speaks is broken off."""
        async with self._starting:
            pool, self._pool = self._pool, None
            if pool is not None:
                await pool.close()

    def _make_pool(self) -> Pool:
        """Blocks: imports websockets, and reads the certificates that are trusted."""
        from engines.sambert.pool import Pool

        options = self._options
        try:
            endpoint, _ = options.service_url(), options.headers()
        except ValueError as error:
            raise Unavailable(str(error)) from None
        times = Times(options.connect_s, options.start_s, options.first_audio_s, options.gap_s)
        return Pool(endpoint, self._headers, times)

    async def _heard(self, pool: Pool, task: Task, timeline: Timeline) -> AsyncGenerator[AudioChunk, None]:
        """One task, behind what the timeline has already."""
        samples, began_s = WholeSamples(), timeline.seconds
        async with aclosing(pool.run(task)) as events:
            async for event in events:
                match event:
                    case Audio(data):
                        if chunk := timeline.hear(samples.take(data)):
                            yield chunk
                    case Sentence(words):
                        for word in words:
                            timeline.mark(word.text, began_s + word.begin_ms / 1000, began_s + word.end_ms / 1000)
                    case Finished(characters):
                        logger.debug("%s: charged for %s characters", self._instance.name, characters)
        samples.end()

    def _started(self) -> Pool:
        if self._pool is None:
            raise Unavailable("the client of Model Studio is not started")
        return self._pool

    def _key(self) -> Key:
        """The key as it is now."""
        try:
            return self._options.key_places().find()
        except NoKey:  # where it was looked for is nothing for clients: `missing` tells it as the engine's state
            raise Unavailable("the speech service's key is missing: its operator must look at it") from None

    def _headers(self) -> dict[str, str]:
        return self._options.headers() | {"Authorization": f"Bearer {self._key().text}"}

    def _place(self, key: Key) -> AbstractAsyncContextManager[None]:
        """What the account allows, where somebody counts it."""
        quota, options = self._instance.quota, self._options
        if quota is None:
            return nullcontext()
        what = "cosyvoice" if options.is_duplex else "sambert"  # all models of a family count together
        return quota.start(key.account, what, options.task_starts_per_s, options.at_once)

    def _require_able(self, request: SpeechRequest) -> CloudVoice:
        """The voice that is to speak."""
        info, name = self._info, request.voice
        if not info.speaks(request.language):
            raise Unsupported(f"this engine does not speak the language {request.language!r}", param="language")
        if name and name not in self._voices:
            raise Unsupported(f"this engine has no voice {name!r}; {near_names(name, self._voices)}", param="voice")
        voice = self._voices[name or info.default_voice(request.language, request.gender)]
        if request.language not in voice.languages:
            speaks = " and ".join(voice.languages)
            raise Unsupported(f"the voice {voice.id!r} speaks {speaks}, not {request.language!r}", param="voice")
        left_s = self._absent_until_s.get(voice.id, 0.0) - self._clock()
        if left_s > 0:
            message = f"the speech service does not offer the voice {voice.id!r}: take another one"
            raise Unsupported(message, param="voice", retry_after_s=left_s)
        if not math.isfinite(request.speed) or request.speed <= 0:
            raise InvalidRequest("speed must be a positive number", param="speed")
        if not _SPEED_MIN <= request.speed <= _SPEED_MAX:
            raise Unsupported(f"this engine speaks at {_SPEED_MIN} to {_SPEED_MAX} times the speed", param="speed")
        return voice
