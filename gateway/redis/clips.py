"""Clips in a Redis that several gateways share. Behind `MemoryCache`, which writes by the side.

A value that is not a whole clip of its key is a miss: other programs, and older versions, may write there too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from gateway.absent import Absent
from gateway.cache import Clip
from gateway.redis.store import Store

#: clips that are written at the same time, so that others find a connection free; and seconds for each of them
WRITERS, WRITE_S = 4, 2.0


class RedisCache:
    """Each clip for `ttl_s` seconds since it was made; one larger than `max_clip_bytes` is not kept."""

    def __init__(self, store: Store, ttl_s: int, max_clip_bytes: int) -> None:
        self._store, self._ttl_s, self._max_clip_bytes = store, ttl_s, max_clip_bytes
        self._prefix = f"{store.prefix}clip:"
        self._writers = asyncio.Semaphore(WRITERS)

    async def first(self, keys: Sequence[str]) -> tuple[int, Clip] | None:
        """All `keys` in one round trip. Clips of later ones are sent in vain, but a text seldom has more than one."""
        if not keys:
            return None

        names = [self._prefix + key for key in keys]
        try:
            values: list[Any] = await self._store.call(lambda ask: ask("MGET", *names))
        except Absent:
            return None
        for index, (key, value) in enumerate(zip(keys, values, strict=True)):
            try:
                if value is not None:
                    return index, Clip.unpack(value, key)
            except ValueError:
                continue
        return None

    async def put(self, key: str, clip: Clip) -> None:
        if len(clip.data) > self._max_clip_bytes:
            return
        async with self._writers:
            value = clip.pack(key)  # not before its turn: what waits is held once, not twice
            try:
                await self._store.call(
                    lambda ask: ask("SET", self._prefix + key, value, "EX", self._ttl_s), WRITE_S, writes=True
                )
            except Absent:
                return

    async def aclose(self) -> None:
        """The store is closed by whoever made it."""
