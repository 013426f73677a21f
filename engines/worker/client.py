"""An engine in a worker process, behind the same `Engine` protocol: nothing else in the gateway knows the difference.

Attaches to the worker, or starts it; follows it to its successor when it retires; lets it go when it is idle. What to
do about a worker that died is its owner's decision: `on_lost` tells him, and `start` begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Literal

from engines.contract import AudioChunk, EngineInfo, SpeechRequest
from engines.errors import SpeechError, Unavailable
from engines.worker.attachment import Attachment
from engines.worker.meeting import attach
from engines.worker.spec import WorkerSpec
from engines.worker.wire import Connection

__all__ = ["State", "WorkerEngine", "WorkerSpec"]

#: attached: speaks. moving: to a successor, or waking up; requests wait. asleep: detached for want of requests.
State = Literal["new", "attached", "moving", "asleep", "lost", "closed"]

#: how long the news that a worker retires or died may trail behind its closed door; a worker looks every second
#: whether its socket is still there
NEWS_S = 3.0
TRIES = 4


class WorkerEngine:
    """An `Engine` whose work is done by another process.

    `info` is what the kind describes until the worker has told its own. `on_lost` is called once for each loss, with
    the reason; from then on `synthesize` and `check` raise `Unavailable` until `start` has succeeded again.
    """

    def __init__(self, spec: WorkerSpec, info: EngineInfo, on_lost: Callable[[str], None] | None = None) -> None:
        self.spec = spec
        self._info = info
        self._on_lost = on_lost
        self._state: State = "new"
        self._reason = "has not started"
        self._attachment: Attachment | None = None
        self._attaching: asyncio.Task[Attachment] | None = None
        self._watching: dict[asyncio.Task[None], Attachment] = {}  # retiring ones too, until they are gone
        self._speaking = 0
        self._nap: asyncio.TimerHandle | None = None
        self._log = logging.getLogger(f"voxgate.engine.{spec.instance}")

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def state(self) -> State:
        return self._state

    @property
    def pid(self) -> int | None:
        """The worker's process; None while there is none."""
        return self._attachment.pid if self._attachment else None

    async def start(self) -> None:
        """Attach to a worker, starting one if there is none. Raises `Unavailable` that says what to do."""
        if self._state == "closed":
            raise self._unavailable()
        if self._attachment is None:
            await self._attach()

    async def check(self) -> None:
        """Ask the worker's engine. One that sleeps for want of requests, or moves, is well."""
        if self._state in ("asleep", "moving"):
            return
        if (attachment := self._attachment) is None:
            raise self._unavailable()
        if (connection := attachment.connect()) is not None:
            await attachment.check(connection)
            return
        await self._hear(attachment)
        if self._state != "moving":
            raise self._unavailable()

    def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak in the worker. A worker that dies meanwhile is an `EngineFault`, never an end."""
        return self.synthesize_in_turn(request, lambda _: None)

    async def synthesize_in_turn(
        self, request: SpeechRequest, waits: Callable[[bool], None]
    ) -> AsyncGenerator[AudioChunk, None]:
        """As `synthesize`, for a caller who wants to know when others are served first.

        `waits` is called with True when all slots speak to others, and with False when the request's turn has come; not
        at all when it need not wait. It is called while the caller awaits the first chunk. A worker that does not
        answer, or an engine that keeps the slot of a listener who left, is not one that lets us wait.
        """
        self._speaking += 1
        self._stay_awake()
        try:
            attachment, connection = await self._connect()
            async with contextlib.aclosing(attachment.speak(connection, request, waits)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._speaking -= 1
            self._rest()

    async def close(self) -> None:
        """Detach; what still speaks is broken off. The worker ends by itself when no gateway is left."""
        self._state, self._reason = "closed", "is closed"
        self._stay_awake()
        self._attachment = None
        tasks: list[asyncio.Task[None] | asyncio.Task[Attachment]] = [*self._watching]
        for attachment in self._watching.values():
            attachment.break_off()
        if self._attaching is not None:
            tasks.append(self._attaching)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # attaching

    async def _attach(self) -> None:
        """Wait for the one attempt at attaching, whoever began it; one who leaves does not end it."""
        attempt = self._attempt()
        await asyncio.wait([attempt])
        if attempt.cancelled():
            raise self._unavailable()
        attempt.result()

    def _attempt(self) -> asyncio.Task[Attachment]:
        if self._attaching is None:
            self._attaching = asyncio.create_task(self._begin())
            self._attaching.add_done_callback(self._attempted)
        return self._attaching

    async def _begin(self) -> Attachment:
        attachment = await attach(self.spec)
        watching = asyncio.create_task(self._watch(attachment))
        self._watching[watching] = attachment
        watching.add_done_callback(self._watched)
        self._attachment = attachment
        self._info = attachment.info
        self._state, self._reason = "attached", ""
        self._rest()
        return attachment

    def _watched(self, watching: asyncio.Task[None]) -> None:
        self._watching.pop(watching).close()

    def _attempted(self, attempt: asyncio.Task[Attachment]) -> None:
        self._attaching = None
        if attempt.cancelled():
            return
        error = attempt.exception()
        if error is None or self._state == "closed":
            return
        reason = error.message if isinstance(error, SpeechError) else f"{type(error).__name__}: {error}"
        if self._state == "moving":  # nobody else hears of it
            self._lose(reason)
        else:
            self._state, self._reason = "lost", reason

    async def _watch(self, attachment: Attachment) -> None:
        def take_info() -> None:
            if attachment is self._attachment:
                self._info = attachment.info

        def move_on() -> None:
            if attachment is self._attachment:
                self._log.info("process %d retires: on to its successor", attachment.pid)
                self._attachment = None
                self._state = "moving"
                self._attempt()

        reason = await attachment.watch(take_info, move_on)
        if attachment is self._attachment:
            self._attachment = None
            self._lose(reason)

    def _lose(self, reason: str) -> None:
        self._state, self._reason = "lost", reason
        self._stay_awake()
        if self._on_lost is not None:
            self._on_lost(reason)

    async def _connect(self) -> tuple[Attachment, Connection]:
        """A connection on which to speak. Raises `Unavailable` at once when the worker is lost.

        Between a worker's closed door and the news of why, requests may come: they wait for the news.
        """
        for _ in range(TRIES):
            if self._state == "asleep":
                self._state = "moving"
            if self._state == "moving":
                await self._attach()
            if self._attachment is None:
                break
            attachment = self._attachment
            if (connection := attachment.connect()) is not None:
                return attachment, connection
            if not await self._hear(attachment):
                break
        raise self._unavailable()

    async def _hear(self, attachment: Attachment) -> bool:
        """Wait a little for the news why nobody answers; whoever watches acts on it before we go on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NEWS_S):
                await attachment.over.wait()
        await asyncio.sleep(0)
        return attachment.over.is_set()

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"the worker of {self.spec.instance} {self._reason or 'cannot be reached'}")

    # sleeping

    def _rest(self) -> None:
        """Fall asleep after a while without requests, if that is wanted."""
        self._stay_awake()
        if self.spec.idle_unload_s > 0 and not self._speaking and self._state == "attached":
            self._nap = asyncio.get_running_loop().call_later(self.spec.idle_unload_s, self._sleep)

    def _stay_awake(self) -> None:
        if self._nap is not None:
            self._nap.cancel()
            self._nap = None

    def _sleep(self) -> None:
        self._log.info("no request for %g s: let go until the next one", self.spec.idle_unload_s)
        self._attachment = None
        self._state = "asleep"
        for task, attachment in self._watching.items():
            if not attachment.retiring:
                task.cancel()
