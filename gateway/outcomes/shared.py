"""What became of each request, kept where every process of the gateway finds it, and in memory, which is asked first.

Records are written by the side, many at once: no reply waits for them. Those that are not taken wait until they are,
the newest of them. A request that runs is written again and again, so that it is soon forgotten when its process dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging

from gateway.absent import Absent
from gateway.outcomes.outcomes import MemoryOutcomes, Record, pack_outcome, record_of, unpack_outcome
from gateway.outcomes.records import Packed, Records
from gateway.record import Served

#: seconds for which records are gathered before they are written together
GATHER_S = 0.02
#: seconds between two writings of a request that runs, and those after which one whose process is silent is forgotten
REFRESH_S, RUNNING_S = 15.0, 60
#: records that may wait, those that are written at once, and the seconds until a writing that failed is tried again
MOST_WAITING, AT_ONCE, AGAIN_S = 5000, 200, 1.0

logger = logging.getLogger("voxgate.records")


class SharedOutcomes:
    """Each record for `keep_s` seconds after its end. Closes `local` with itself."""

    def __init__(self, records: Records, local: MemoryOutcomes, keep_s: int) -> None:
        self._records, self._local, self._keep_s = records, local, keep_s
        self._running: dict[str, Served] = {}
        self._waiting: dict[str, Record] = {}
        self._news = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    async def put(self, served: Served) -> None:
        request_id, record = served.request_id, record_of(served)
        self._local.keep(request_id, record)
        if served.outcome == "running":
            self._running[request_id] = served
        else:
            self._running.pop(request_id, None)
        self._waiting[request_id] = record
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        self._news.set()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_on(), name="write outcomes")

    async def get(self, request_id: str) -> Served | None:
        if (served := await self._local.get(request_id)) is not None:
            return served
        try:
            packed = await self._records.read(request_id)
            return None if packed is None else unpack_outcome(packed)
        except (Absent, ValueError):
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
                self._waiting = {**self._running, **self._waiting}
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
            records = {one: self._waiting.pop(one) for one in list(self._waiting)[:AT_ONCE]}
            try:
                await self._records.write([one for one in itertools.starmap(self._packed, records.items()) if one])
            except BaseException:  # also when this gateway stops amid it
                self._waiting = records | self._waiting
                raise

    def _packed(self, request_id: str, record: Record) -> Packed | None:
        try:
            if isinstance(record, bytes):
                return Packed(request_id, self._keep_s, record)
            return Packed(request_id, RUNNING_S, pack_outcome(record))
        except ValueError:
            logger.warning("the outcome of request %s is known to this process alone", request_id)
            return None
