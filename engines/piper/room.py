"""Loaded voices within a budget of memory: who spoke longest ago makes room, and who is idle leaves by itself.

Knows nothing about graphs: how a voice is loaded, it is told.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from engines.errors import Unavailable

logger = logging.getLogger("voxgate.piper")

T = TypeVar("T")
Load = Callable[[], Coroutine[Any, Any, T]]


@dataclass(slots=True)
class _Place(Generic[T]):
    """A voice that is loaded, or being loaded."""

    loading: asyncio.Task[T]
    bytes: int
    users: int = 0
    leaves: asyncio.TimerHandle | None = None


class Room(Generic[T]):
    """Lends voices by key. A voice in use stays; one that is larger than the whole budget gets it alone."""

    def __init__(self, budget_bytes: int, idle_s: float) -> None:
        self._budget_bytes = budget_bytes
        self._idle_s = idle_s
        self._places: dict[str, _Place[T]] = {}  # who was used last stands last
        self._waiting: set[asyncio.Future[None]] = set()
        self._closed = False

    @property
    def loaded(self) -> tuple[str, ...]:
        return tuple(self._places)

    @asynccontextmanager
    async def lend(self, key: str, size_bytes: int, load: Load[T]) -> AsyncIterator[T]:
        """The voice for as long as the block lasts; `load` is called if it is not there. Waits for memory.

        Raises what `load` raises, for all who wait for it, and Unavailable once this is closed.
        """
        place = await self._take(key, size_bytes, load)
        self._places[key] = self._places.pop(key)
        place.users += 1
        if place.leaves:
            place.leaves.cancel()
        try:
            yield await asyncio.shield(place.loading)
        finally:
            place.users -= 1
            if not place.users and self._places.get(key) is place:
                place.leaves = asyncio.get_running_loop().call_later(self._idle_s, self._unload, key)
            self._wake()

    def close(self) -> None:
        """Forget all voices; who still uses one keeps it until then."""
        self._closed = True
        for key in list(self._places):
            self._unload(key)
        self._wake()

    async def _take(self, key: str, size_bytes: int, load: Load[T]) -> _Place[T]:
        while not self._closed and key not in self._places and not self._make_room(size_bytes):
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)
        if self._closed:
            raise Unavailable("piper was closed")
        if key not in self._places:
            logger.info("loading %s", key)
            place = self._places[key] = _Place(asyncio.ensure_future(load()), size_bytes)
            place.loading.add_done_callback(lambda done: self._loaded(key, place))
        return self._places[key]

    def _loaded(self, key: str, place: _Place[T]) -> None:
        """A voice that could not be loaded leaves at once: the next who asks for it tries again."""
        failed = place.loading.cancelled() or place.loading.exception() is not None
        if failed and self._places.get(key) is place:
            self._unload(key)
        self._wake()

    def _make_room(self, size_bytes: int) -> bool:
        for key, place in list(self._places.items()):
            if self._fits(size_bytes):
                break
            if not place.users and place.loading.done():
                self._unload(key)
        return not self._places or self._fits(size_bytes)

    def _fits(self, size_bytes: int) -> bool:
        return sum(place.bytes for place in self._places.values()) + size_bytes <= self._budget_bytes

    def _unload(self, key: str) -> None:
        place = self._places.pop(key)
        if place.leaves:
            place.leaves.cancel()
        logger.info("unloaded %s", key)
        loop = asyncio.get_running_loop()  # soon, when nothing here holds on to the voice any more
        loop.call_soon(loop.run_in_executor, None, give_memory_back)

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


def give_memory_back() -> None:
    """Have the C library return to the system what was freed: glibc keeps it, three voices of four in a trial. Without
    such a function, nothing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
