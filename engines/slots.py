"""Counts who speaks and who waits: so many at once, so many in line, everybody else is told so at once.

Knows nothing about engines, processes or what is done in a slot. Used by the worker process, which owns the slots
of its engine, and by each gateway, which bounds its own line. For one event loop; not for threads.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import TracebackType

from engines.errors import Busy

#: what `retry_after_s` says before anything was ever finished
UNKNOWN_HOLD_S = 1.0
#: releases after which old hold times count half
MEMORY = 64


class Slots:
    """`limit` holders at once and at most `queue` waiting, first come, first served.

        async with slots:      # raises Busy at once when slots and queue are full
            ...
        async with slots.going_on():    # waits before all these, and is never turned away
            ...

    A waiter that is cancelled leaves the queue, also when its turn had just come: then the next one has it. A slot
    passes from hand to hand, so nobody who comes later can slip in before one who waits, but for work that goes on.
    """

    def __init__(self, limit: int, queue: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        if limit < 1 or queue < 0:
            raise ValueError(f"there must be at least one slot and no negative queue, not {limit} and {queue}")
        self._limit = limit
        self._queue = queue
        self._clock = clock
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._going_on: deque[asyncio.Future[None]] = deque()  # before those
        self._held_s = 0.0  # slot-seconds spent, kept up to `_since`
        self._released = 0
        self._since = clock()

    @property
    def limit(self) -> int:
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        """More slots admit waiters at once; fewer take effect as holders leave."""
        if limit < 1:
            raise ValueError(f"there must be at least one slot, not {limit}")
        self._limit = limit
        self._admit()

    @property
    def queue(self) -> int:
        """How many may wait."""
        return self._queue

    @queue.setter
    def queue(self, queue: int) -> None:
        """A shorter one turns away newcomers; those who wait already stay."""
        if queue < 0:
            raise ValueError(f"there is no negative queue such as {queue}")
        self._queue = queue

    @property
    def busy(self) -> int:
        """Slots held now."""
        return self._busy

    @property
    def queued(self) -> int:
        """Waiting now. One that was cancelled does not count, even before its task has run again."""
        if not self._going_on and not self._waiting:
            return 0  # as nearly always: every snapshot of the board asks
        return sum(not turn.done() for line in (self._going_on, self._waiting) for turn in line)

    @property
    def full(self) -> bool:
        """Would `acquire` raise `Busy` now."""
        return self._busy >= self._limit and self.queued >= self._queue

    @property
    def retry_after_s(self) -> float:
        """Seconds until one who came now would likely begin: mean time a slot was held, times the line before it."""
        self._account()
        mean_s = self._held_s / self._released if self._released else max(UNKNOWN_HOLD_S, self._held_s)
        return max(0.1, mean_s * (self.queued + 1) / self._limit)

    async def acquire(self) -> None:
        """Take a slot, waiting in line if there is room in it. Raises `Busy` at once when there is none."""
        if self._busy < self._limit and not self.queued:
            self._take()
            return
        if self.queued >= self._queue:
            raise Busy(
                f"all {self._limit} slots are speaking and {self.queued} requests wait: try again soon",
                retry_after_s=round(self.retry_after_s, 1),
            )
        await self._wait_in(self._waiting)

    @asynccontextmanager
    async def going_on(self) -> AsyncGenerator[None, None]:
        """A slot for work that has been begun and goes on after a pause: newcomers must not cut it short."""
        if self._busy < self._limit and not any(not turn.done() for turn in self._going_on):
            self._take()
        else:
            await self._wait_in(self._going_on)
        try:
            yield
        finally:
            self.release()

    async def _wait_in(self, line: deque[asyncio.Future[None]]) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                line.remove(turn)
            elif turn.exception() is None:  # the turn came in the same moment: pass it on
                self.release()
            raise

    def turn_away(self, reason: Callable[[], Exception]) -> None:
        """Send all who wait away, each with an exception of its own. Who has a slot keeps it."""
        for line in (self._going_on, self._waiting):
            for turn in [one for one in line if not one.done()]:
                line.remove(turn)
                turn.set_exception(reason())

    def release(self) -> None:
        """Give one slot back; the first in line has it at once."""
        if not self._busy:
            raise RuntimeError("released more slots than were acquired")
        self._account()
        self._busy -= 1
        self._released += 1
        if self._released >= MEMORY:
            self._released //= 2
            self._held_s /= 2
        self._admit()

    def _take(self) -> None:
        self._account()
        self._busy += 1

    def _admit(self) -> None:
        """Hand free slots to those who wait, in order."""
        while self._busy < self._limit:
            lines = (self._going_on, self._waiting)
            found = next(((line, one) for line in lines for one in line if not one.done()), None)
            if found is None:
                return
            line, turn = found
            line.remove(turn)
            self._take()
            turn.set_result(None)

    def _account(self) -> None:
        now = self._clock()
        self._held_s += self._busy * (now - self._since)
        self._since = now

    async def __aenter__(self) -> Slots:
        await self.acquire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
