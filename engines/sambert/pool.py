"""Connections to Model Studio: a task has one of its own, and leaves it for the next task.

Imports `websockets` through the driver: import this module when an engine starts. Knows nothing of voices, quotas or
the gateway.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping

from engines.errors import EngineFault, Throttled, Unavailable
from engines.remote.exchange import Tap
from engines.sambert.connection import Connection, open_connection
from engines.sambert.faults import Lost
from engines.sambert.protocol import Event, Started, Task
from engines.sambert.times import Times

#: seconds to leave an account alone that takes no more: the first time, and at most. The public pages say that it
#: takes again within about a minute.
COOL_DOWN_S, LONGEST_COOL_DOWN_S = 5.0, 60.0


class Pool:
    """Runs tasks at once, and keeps their connections `times.idle_s` seconds for other ones.

    `headers` is asked before each task, so that a key may change: a connection that was made with other headers is not
    used again. It may raise SpeechError. For one event loop.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Callable[[], Mapping[str, str]],
        times: Times | None = None,
        tap: Tap | None = None,
    ) -> None:
        self._endpoint, self._headers, self._times, self._tap = endpoint, headers, times or Times(), tap
        self._tls = ssl.create_default_context() if endpoint.startswith("wss:") else None  # reads files: once
        self._speaking: set[Connection] = set()
        self._idle: dict[Connection, asyncio.TimerHandle] = {}  # the last one used at the end
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._cool_down_s, self._cooling_until_s = COOL_DOWN_S, 0.0

    async def run(self, task: Task) -> AsyncGenerator[Event, None]:
        """Started, then Audio and Sentence as they come, then Finished. Raises SpeechError.

        Closing the generator before its end closes the connection: the service knows no other way to cancel.
        """
        try:
            connection = await self._begin(task)
            try:
                yield Started()
                while not connection.finished:
                    yield await connection.hear()
            finally:
                await self._leave(connection)
        except EngineFault:
            self._drop_idle()  # a second try is to have a new connection, and may not wait for a dead one after another
            raise
        except Throttled as error:
            error.retry_after_s = max(error.retry_after_s or 0.0, self._cool())
            raise

    async def close(self) -> None:
        """Close all connections; what still speaks is broken off. Idempotent."""
        self._closed = True
        for timer in self._idle.values():
            timer.cancel()
        connections = [*self._idle, *self._speaking]
        self._idle.clear()
        await asyncio.gather(*(one.close() for one in connections), *self._closing, return_exceptions=True)

    async def _begin(self, task: Task) -> Connection:
        """A connection on which `task` has started. One that was kept may be dead, or still speak of what was before:
        then on a new one, once."""
        self._require_open()
        headers = dict(self._headers())
        if (kept := self._take(headers)) is not None:
            try:
                return await self._start(kept, task)
            except Lost:
                pass
        return await self._start(
            await open_connection(self._endpoint, headers, self._times, self._tls, self._tap), task
        )

    async def _start(self, connection: Connection, task: Task) -> Connection:
        self._speaking.add(connection)
        try:
            self._require_open()  # which may have changed while it was connecting
            await connection.begin(task)
        except BaseException:
            await self._leave(connection)
            raise
        self._cool_down_s = COOL_DOWN_S
        return connection

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("this engine is closed")

    def _take(self, headers: Mapping[str, str]) -> Connection | None:
        """The connection that was used last, so that those which are not needed grow old."""
        for connection in reversed(list(self._idle)):
            if connection.headers == headers:
                self._idle.pop(connection).cancel()
                return connection
        return None

    async def _leave(self, connection: Connection) -> None:
        """Keep a connection whose task is finished; close any other."""
        self._speaking.discard(connection)
        if connection.finished and not self._closed:
            timer = asyncio.get_running_loop().call_later(self._times.idle_s, self._expire, connection)
            self._idle[connection] = timer
        else:
            await connection.close()

    def _drop_idle(self) -> None:
        for connection in list(self._idle):
            self._expire(connection)

    def _expire(self, connection: Connection) -> None:
        self._idle.pop(connection).cancel()
        closing = asyncio.create_task(connection.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def _cool(self) -> float:
        """Seconds to leave the account alone: twice as many each time that it took no more after they had passed."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._cooling_until_s:
            seconds = self._cool_down_s
            self._cooling_until_s = now_s + seconds
            self._cool_down_s = min(2 * seconds, LONGEST_COOL_DOWN_S)
        return self._cooling_until_s - now_s
