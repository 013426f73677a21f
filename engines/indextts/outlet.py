"""The way of one request's audio from the thread that makes it to the coroutine that gives it away.

The thread never waits here, because it makes the audio of others too: it asks how far ahead of the listener it is.
Knows nothing about speech.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engines.contract import AudioChunk


class Outlet:
    """One stream of chunks; built on the event loop that reads it. `taken` is called there when a chunk was taken, and
    when nobody listens any more."""

    def __init__(self, taken: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Queue[AudioChunk | BaseException | None] = asyncio.Queue()
        self._taken = taken
        self._put_s = self._taken_s = 0.0  # each written by one side only
        self._closed = False

    # the thread's side

    @property
    def closed(self) -> bool:
        """Nobody listens any more."""
        return self._closed or self._loop.is_closed()

    @property
    def ahead_s(self) -> float:
        """Seconds of audio that the listener has not taken yet."""
        return self._put_s - self._taken_s

    def put(self, chunk: AudioChunk) -> None:
        self._put_s += chunk.seconds
        self._post(chunk)

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes: all is said, or `error` says why not."""
        self._post(error)

    def _post(self, item: AudioChunk | BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.put_nowait, item)
        except RuntimeError:  # the loop is closed: nobody listens
            self._closed = True

    # the listener's side

    async def get(self) -> AudioChunk | None:
        """The next chunk; None at the end. Raises the error that ended the stream."""
        item = await self._ready.get()
        if isinstance(item, BaseException):
            raise item
        if item is not None:
            self._taken_s += item.seconds
            self._taken()
        return item

    def close(self) -> None:
        """Stop listening."""
        self._closed = True
        self._taken()
