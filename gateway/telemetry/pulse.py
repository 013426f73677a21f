"""Beats once a second while the gateway runs, and measures how late it is: so long was everybody else late, too.

Knows nothing about what is done at a beat.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

#: seconds between two beats
BEAT_S = 1.0
#: beats whose lateness is remembered: more than lie between two scrapes
REMEMBERED = 60


class Pulse:
    """`async with` it: `each` is awaited at every beat. `late_s`: the longest delay of the last minute, in seconds."""

    def __init__(self, each: Callable[[], Awaitable[None]]) -> None:
        self._each = each
        self._delays_s: deque[float] = deque([0.0], maxlen=REMEMBERED)
        self._beating: asyncio.Task[None] | None = None

    @property
    def late_s(self) -> float:
        return max(self._delays_s)

    async def __aenter__(self) -> Self:
        self._beating = asyncio.create_task(self._beat(), name="pulse")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._delays_s.append(max(0.0, loop.time() - due_s))
            await self._each()
