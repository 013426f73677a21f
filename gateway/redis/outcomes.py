"""What became of each request, for every gateway that shares the Redis. Around a form in memory, which is asked first.

Records are written by the side, many at once: no reply waits for them. Those that Redis does not take wait until it
does, the newest of them. A request that runs is written again and again, so that it is soon forgotten when its gateway
dies.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis.asyncio import Redis

from gateway.outcomes import Outcomes, pack_outcome, unpack_outcome
from gateway.record import Served
from gateway.redis.store import Absent, Store

#: seconds for which records are gathered before they are written together
GATHER_S = 0.02
#: seconds between two writings of a request that runs, and those after which one whose gateway is silent is forgotten
REFRESH_S, RUNNING_S = 15.0, 60
#: records that may wait, those of one round trip, the seconds that this one may take, and those until it is tried again
MOST_WAITING, AT_ONCE, WRITE_S, AGAIN_S = 5000, 200, 1.0, 1.0


class RedisOutcomes:
    """Each record for `keep_s` seconds after its end. Closes `local` with itself."""

    def __init__(self, store: Store, local: Outcomes, keep_s: int) -> None:
        self._store, self._local, self._keep_s = store, local, keep_s
        self._prefix = f"{store.prefix}outcome:"
        self._running: dict[str, Served] = {}
        self._waiting: dict[str, Served] = {}
        self._news = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    async def put(self, served: Served) -> None:
        await self._local.put(served)
        if served.outcome == "running":
            self._running[served.request_id] = served
        else:
            self._running.pop(served.request_id, None)
        self._waiting[served.request_id] = served
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._news.set()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_on(), name="write outcomes to Redis")

    async def get(self, request_id: str) -> Served | None:
        if (served := await self._local.get(request_id)) is not None:
            return served

        async def fetch(client: Redis) -> Served | None:
            packed: Any = await client.get(self._prefix + request_id)
            return None if packed is None else unpack_outcome(packed)

        try:
            return await self._store.call(fetch)
        except Absent:
            return None

    async def aclose(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)
            with contextlib.suppress(Absent):
                await self._write_waiting()
        await self._local.aclose()

    async def _write_on(self) -> None:
        loop = asyncio.get_running_loop()
        refresh_at_s = loop.time() + REFRESH_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(refresh_at_s):
                    await self._news.wait()
                    await asyncio.sleep(GATHER_S)
            if loop.time() >= refresh_at_s:
                self._waiting = self._running | self._waiting
                refresh_at_s = loop.time() + REFRESH_S
            self._news.clear()
            try:
                await self._write_waiting()
            except Absent:
                await asyncio.sleep(AGAIN_S)
                self._news.set()

    async def _write_waiting(self) -> None:
        """Raises Absent, with what is not written still waiting."""
        while self._waiting:
            records = [self._waiting.pop(request_id) for request_id in list(self._waiting)[:AT_ONCE]]
            try:
                await self._store.call(partial(self._write, records), WRITE_S, writes=True)
            except BaseException:  # also when this gateway stops amid it
                self._waiting = {served.request_id: served for served in records} | self._waiting
                raise

    async def _write(self, records: Sequence[Served], client: Redis) -> None:
        pipeline = client.pipeline(transaction=False)
        for served in records:
            for_s = RUNNING_S if served.outcome == "running" else self._keep_s
            pipeline.set(self._prefix + served.request_id, pack_outcome(served), ex=for_s)
        await pipeline.execute()
