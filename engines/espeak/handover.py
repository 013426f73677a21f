"""Hands chunks from a thread to the event loop, a few at a time: a slow listener holds the thread.

Knows nothing about speech or where the chunks come from.
"""

from __future__ import annotations

import asyncio
import threading

from engines.contract import AudioChunk

_LOOK_UP_S = 1.0


class Handover:
    """One stream of chunks from one thread to one coroutine; built on the event loop that will read it."""

    def __init__(self, capacity: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Queue[AudioChunk | BaseException | None] = asyncio.Queue()
        self._room = threading.Semaphore(capacity)
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def put(self, chunk: AudioChunk) -> bool:
        """From the thread: wait for room and hand over. False: nobody listens any more, stop."""
        while not self._room.acquire(timeout=_LOOK_UP_S):
            if self._loop.is_closed():  # nobody can close this any more: do not keep the process from ending
                return False
        return not self._closed and self._post(chunk)

    def end(self, error: BaseException | None = None) -> None:
        """From the thread: nothing more comes, because all is said or because of `error`."""
        self._post(error)

    async def get(self) -> AudioChunk | None:
        """The next chunk; None at the end. Raises the error that ended the stream."""
        item = await self._ready.get()
        if isinstance(item, BaseException):
            raise item
        if item is not None:
            self._room.release()
        return item

    def close(self, error: BaseException | None = None) -> None:
        """From the event loop: stop listening; wakes the thread, and with `error` also a waiting `get`."""
        self._closed = True
        self._room.release()
        if error is not None:
            self._ready.put_nowait(error)

    def _post(self, item: AudioChunk | BaseException | None) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._ready.put_nowait, item)
        except RuntimeError:  # the loop is closed: so is the program
            return False
        return True
