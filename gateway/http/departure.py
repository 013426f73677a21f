"""Notices that a client has left and stops the work that was done for it.

The server's `send` goes nowhere, silently, once the client is gone, and a handler that is not sending hears nothing at
all. So whatever works for a client runs inside a `Departure`. Knows nothing about speech.
"""

import asyncio
from types import TracebackType

from litestar.types import Receive


class Departure:
    """A block of work that is cancelled as soon as the client leaves.

    `with Departure(receive) as departure: …` runs the work in the current task. When the client leaves, the work gets a
    `CancelledError` at its next wait, the block ends without an error, and `departure.left` is True. A
    cancellation from elsewhere passes through. The request's body must have been read.
    """

    def __init__(self, receive: Receive) -> None:
        self.left = False
        self._receive = receive
        self._over = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> "Departure":
        task = asyncio.current_task()
        assert task is not None, "a request is served by a task"
        self._task = task
        self._cancelling = task.cancelling()
        # A clip from the cache is sent without ever waiting. The watch begins when the work first gives way to the
        # event loop, so that such a request does not pay for a second task.
        self._soon = asyncio.get_running_loop().call_soon(self._begin)
        return self

    def _begin(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        # once the body is read, servers answer with empty `http.request`s when more bytes come in on the connection
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._over:
            self.left = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._over = True
        self._soon.cancel()
        if self._watcher is not None:
            self._watcher.cancel()
        if not self.left:
            return False
        # the count tells our own cancellation from one that came from elsewhere at the same time, as in asyncio.timeout
        return self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError
