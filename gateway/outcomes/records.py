"""Where the processes of a gateway keep records of requests, as bytes. Knows nothing about what a record says."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, Protocol

from gateway.clock import Clock
from gateway.outcomes.outcomes import MOST_BYTES


class Packed(NamedTuple):
    """The record of a request as bytes, to be kept for `for_s` seconds."""

    request_id: str
    for_s: int
    data: bytes


class Records(Protocol):
    """Where they are kept. Both methods may raise Absent."""

    async def write(self, records: list[Packed]) -> None:
        """Keep these, in place of older ones of the same requests."""

    async def read(self, request_id: str) -> bytes | None: ...


class MemoryRecords:
    """In one process, which the others call: the last `keep`, and fewer if they are large."""

    def __init__(self, keep: int, clock: Clock) -> None:
        self._keep, self._clock = keep, clock
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()  # until when, on the clock
        self._held_bytes = 0

    async def write(self, records: list[Packed]) -> None:
        now_s = self._clock.monotonic()
        for one in records:
            self._forget(one.request_id)
            self._kept[one.request_id] = now_s + one.for_s, one.data
            self._held_bytes += len(one.data)
        while len(self._kept) > self._keep or self._held_bytes > MOST_BYTES:
            self._forget(next(iter(self._kept)))

    async def read(self, request_id: str) -> bytes | None:
        until_s, data = self._kept.get(request_id, (0.0, b""))
        return data if self._clock.monotonic() < until_s else None

    def _forget(self, request_id: str) -> None:
        _, data = self._kept.pop(request_id, (0.0, b""))
        self._held_bytes -= len(data)
