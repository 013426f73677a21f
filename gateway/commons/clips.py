"""Clips that the first process of several keeps for all. Behind `MemoryCache`, which writes by the side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from gateway.absent import Absent
from gateway.cache import Cache, Clip


class HostedCache:
    """A `Cache` in another process; while that does not answer, every clip is a miss."""

    def __init__(self, there: Cache) -> None:
        self._there = there

    async def first(self, keys: Sequence[str]) -> tuple[int, Clip] | None:
        try:
            return await self._there.first(keys)
        except Absent:
            return None

    async def put(self, key: str, clip: Clip) -> None:
        with suppress(Absent):
            await self._there.put(key, clip)

    async def aclose(self) -> None:
        """The clips outlive this process."""
