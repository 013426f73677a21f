"""Time that tests turn by hand: a clock for what is injected, and an event loop whose timers cost nothing."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualClock:
    """A Clock that stands still until it is told to go on."""

    def __init__(self, now: datetime = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)) -> None:
        self._start, self._s = now, 1000.0

    def monotonic(self) -> float:
        return self._s

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._s - 1000.0)

    def advance(self, seconds: float) -> None:
        self._s += seconds


class LoopClock(VirtualClock):
    """A Clock that goes with the running event loop, so that a virtual loop turns its hands."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic() - VirtualLoop.BEGIN_S)


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for the next timer, moves the loop's time to it."""

    jumped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout:
            self.jumped_s += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs timers in order without waiting. For code without sockets, threads or processes."""

    BEGIN_S = 5000.0

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self.BEGIN_S + self._jumping.jumped_s


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a virtual loop, with a bound on its virtual time (an hour)."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def bounded() -> T:
            async with asyncio.timeout(3600):
                return await main

        return runner.run(bounded())
