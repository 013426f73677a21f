"""Records of requests in a Redis that several gateways share. Knows nothing about what a record says."""

from __future__ import annotations

from typing import Any

from gateway.outcomes.records import Packed
from gateway.redis.store import Store

#: seconds that a writing may take: nobody waits for it
WRITE_S = 1.0
#: one command for many records, which costs half of what as many SETs cost here
_SET = "for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[2 * i - 1], 'EX', ARGV[2 * i]) end"


class RedisRecords:
    """Both methods raise Absent when Redis does not answer in time."""

    def __init__(self, store: Store) -> None:
        self._store, self._prefix = store, f"{store.prefix}outcome:"
        self._set = store.script(_SET)

    async def write(self, records: list[Packed]) -> None:
        keys = [self._prefix + one.request_id for one in records]
        values = [value for one in records for value in (one.data, one.for_s)]
        await self._set(keys, values, WRITE_S)

    async def read(self, request_id: str) -> bytes | None:
        found: Any = await self._store.call(lambda ask: ask("GET", self._prefix + request_id))
        return found if isinstance(found, bytes) else None
