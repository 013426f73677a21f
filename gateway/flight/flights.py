"""Who makes what in this process now: one flight for each key. Knows nothing about what a key stands for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

from engines.errors import Unavailable
from gateway.flight.claims import Claims
from gateway.flight.flight import Flight

logger = logging.getLogger("voxgate.flight")

#: bytes of all flights together that may wait for their listeners; beyond, engines wait for theirs
HELD_BYTES = 128_000_000
#: seconds at the end for telling other processes that a speech will not be finished
LAST_S = 1.0


class Flights:
    """All flights of one process. `claims`: what is shared with other processes, None: nothing is."""

    def __init__(self, claims: Claims | None = None) -> None:
        self.claims = claims
        self.held_bytes = 0
        self._flights: dict[str, Flight] = {}
        self._makings: set[asyncio.Task[None]] = set()
        self._aside: set[asyncio.Task[None]] = set()
        self._closed = False

    def join(self, key: str) -> tuple[Flight, bool]:
        """The flight with that key, and whether it is new: then the caller must get it to begin.

        An empty key is nobody else's. Raises Unavailable when the gateway is being closed.
        """
        if self._closed:
            raise Unavailable("this gateway is being stopped")
        if flight := self._flights.get(key):
            return flight, False
        flight = Flight(self, key)
        if key:
            self._flights[key] = flight
        return flight, True

    def knows(self, key: str, flight: Flight) -> bool:
        """Can this flight be joined."""
        return self._flights.get(key) is flight

    def forget(self, key: str, flight: Flight) -> None:
        """Let nobody join it any more."""
        if self.knows(key, flight):
            del self._flights[key]

    @property
    def crowded(self) -> bool:
        """Does so much wait for slow listeners that nothing more should be made ahead of them."""
        return self.held_bytes > HELD_BYTES

    @property
    def idle(self) -> bool:
        """Is nothing made, joined or kept."""
        return not (self._flights or self._makings or self._aside or self.held_bytes)

    def make(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run the making of a speech."""
        return self._start(work, self._makings)

    def spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run what a making brings with it: it ends soon after the making did."""
        return self._start(work, self._aside)

    def _start(self, work: Coroutine[object, object, None], tasks: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        def done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not task.cancelled() and (error := task.exception()):
                logger.error("a speech: something by its side failed", exc_info=error)

        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(done)
        return task

    async def aclose(self) -> None:
        """Stop whatever is still made: whoever listens hears that it broke off."""
        self._closed = True
        await _cancel(self._makings)
        if self._aside:
            await asyncio.wait(self._aside, timeout=LAST_S)
        await _cancel(self._aside)


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    while tasks:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
