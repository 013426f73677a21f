"""What became of each request, for whoever asks later by its id. A small Protocol, and the form in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from gateway.clock import Clock
from gateway.record import Served


class Outcomes(Protocol):
    async def put(self, served: Served) -> None:
        """Remember a request: once when it begins, once when it has ended."""

    async def get(self, request_id: str) -> Served | None:
        """The request of that id, running or ended; None when it is unknown or forgotten."""


class MemoryOutcomes:
    """The last `keep` requests of this process, each for `keep_s` seconds."""

    def __init__(self, keep: int, keep_s: float, clock: Clock) -> None:
        self._keep, self._keep_s, self._clock = keep, keep_s, clock
        self._kept: OrderedDict[str, tuple[float, Served]] = OrderedDict()

    async def put(self, served: Served) -> None:
        now_s = self._clock.monotonic()
        self._kept[served.request_id] = (now_s, served)
        self._kept.move_to_end(served.request_id)
        while self._kept:
            put_s, oldest = next(iter(self._kept.values()))
            if len(self._kept) <= self._keep and now_s - put_s <= self._keep_s:
                break
            del self._kept[oldest.request_id]

    async def get(self, request_id: str) -> Served | None:
        put_s, served = self._kept.get(request_id, (0.0, None))
        return served if self._clock.monotonic() - put_s <= self._keep_s else None
