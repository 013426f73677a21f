"""Ends waits that take too long, one after another, for next to nothing when they do not.

`asyncio.timeout` makes a timer for each wait. Here one stays set between waits and is set anew only when it rings too
early. Knows nothing about what is waited for.
"""

from __future__ import annotations

import asyncio
import math
from types import TracebackType


class Alarm:
    """`with alarm: alarm.set(at_s); await …` raises TimeoutError when the loop's clock comes to `at_s` meanwhile.

    `rang` tells such a TimeoutError from others. As in `asyncio.timeout`, a cancellation from elsewhere passes. Waits
    may be those of one task after another. Close it in the end.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None  # None: between waits
        self._cancelling = 0
        self._at_s = self._rings_s = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self.rang = False

    def set(self, at_s: float) -> None:
        """End the wait at that time of the loop's clock; infinite: never."""
        self._at_s = at_s
        if at_s < self._rings_s:
            self.close()
            self._rings_s, self._timer = at_s, self._loop.call_at(at_s, self._ring)

    def close(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._rings_s, self._timer = math.inf, None
        if self._task is None:
            return
        if self._at_s > self._loop.time():
            self.set(self._at_s)
        elif not self.rang:
            self.rang = True
            self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task(self._loop)
        assert task is not None, "a wait is a task's"
        self._task, self._cancelling, self._at_s, self.rang = task, task.cancelling(), math.inf, False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        # the count tells our own cancellation from one that came from elsewhere at the same time
        if self.rang and task is not None and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
