"""Records of requests in a Redis that several gateways share. Knows nothing about what a record says."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from gateway.records import Packed
from gateway.redis.store import Store

#: seconds that a writing may take: nobody waits for it
WRITE_S = 1.0


class RedisRecords:
    """Both methods raise Absent when Redis does not answer in time."""

    def __init__(self, store: Store) -> None:
        self._store, self._prefix = store, f"{store.prefix}outcome:"

    async def write(self, records: list[Packed]) -> None:
        async def send(client: Redis) -> None:
            pipeline = client.pipeline(transaction=False)
            for one in records:
                pipeline.set(self._prefix + one.request_id, one.data, ex=one.for_s)
            await pipeline.execute()

        await self._store.call(send, WRITE_S, writes=True)

    async def read(self, request_id: str) -> bytes | None:
        async def fetch(client: Redis) -> bytes | None:
            found: Any = await client.get(self._prefix + request_id)
            return found if isinstance(found, bytes) else None

        return await self._store.call(fetch)
