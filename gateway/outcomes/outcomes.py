"""What became of each request, for whoever asks later by its id. A small Protocol, and the form in memory."""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from typing import Any, Protocol

import msgspec

from gateway.clock import Clock
from gateway.record import Served
from policies.policy import Terms

#: bytes that the records in memory may hold together: a long text with an engine that fails has hundreds of attempts
MOST_BYTES = 64_000_000
#: roughly, in CPython 3.11: of a record with its plan that is not bytes yet, of an attempt, and of a clause's engine
_RECORD_BYTES, _ATTEMPT_BYTES, _CLAUSE_BYTES = 3000, 400, 60

#: as a request is kept: itself while it runs, so that it is seen to go on, then bytes, a quarter of the size. All else
#: that is kept, collections of garbage go through, and stop everybody meanwhile
Record = Served | bytes


class Outcomes(Protocol):
    """Records of requests by id."""

    async def put(self, served: Served) -> None:
        """Remember a request: once when it begins, once when it has ended."""

    async def get(self, request_id: str) -> Served | None:
        """The request of that id, running or ended; None when it is unknown or forgotten."""

    async def aclose(self) -> None: ...


class MemoryOutcomes:
    """The last `keep` requests of this process, each for `keep_s` seconds, and fewer if they are large."""

    def __init__(self, keep: int, keep_s: float, clock: Clock) -> None:
        self._keep, self._keep_s, self._clock = keep, keep_s, clock
        self._kept: OrderedDict[str, tuple[float, Record, int]] = OrderedDict()
        self._held_bytes = 0

    async def put(self, served: Served) -> None:
        self.keep(served.request_id, record_of(served))

    def keep(self, request_id: str, record: Record) -> None:
        """As `put`, of what `record_of` made."""
        now_s, size = self._clock.monotonic(), _size(record)
        self._forget(request_id)
        self._kept[request_id] = now_s, record, size
        self._held_bytes += size
        while self._kept:
            request_id, (put_s, _, _) = next(iter(self._kept.items()))
            few = len(self._kept) <= self._keep and self._held_bytes <= MOST_BYTES
            if few and now_s - put_s <= self._keep_s:
                break
            self._forget(request_id)

    async def get(self, request_id: str) -> Served | None:
        put_s, record, _ = self._kept.get(request_id, (-math.inf, b"", 0))
        if self._clock.monotonic() - put_s > self._keep_s:
            return None
        return unpack_outcome(record) if isinstance(record, bytes) else record

    async def aclose(self) -> None: ...

    def _forget(self, request_id: str) -> None:
        _, _, size = self._kept.pop(request_id, (0.0, b"", 0))
        self._held_bytes -= size


def _size(record: Record) -> int:
    """Bytes that a record holds, roughly."""
    if isinstance(record, bytes):
        return len(record)
    attempts = sum(_ATTEMPT_BYTES + len(one.message) for one in record.attempts)
    return _RECORD_BYTES + attempts + _CLAUSE_BYTES * len(record.clause_engines)


def record_of(served: Served) -> Record:
    """What is to be kept of it now."""
    if served.outcome == "running":
        return served
    try:
        return pack_outcome(served)
    except ValueError:
        return served


# --- as bytes ---


def pack_outcome(served: Served) -> bytes:
    """A record as bytes. Raises ValueError for a lone surrogate, such as in a message about a file's name."""
    return _encoder.encode(served)


def unpack_outcome(packed: bytes) -> Served:
    """The inverse. Raises ValueError for what is no record, or one of a version that has other fields."""
    try:
        return _decoder.decode(packed)
    except msgspec.MsgspecError as error:
        raise ValueError("not a record") from error


@functools.lru_cache(256)  # each rule has its own
def _to_plain(value: object) -> Any:
    assert isinstance(value, Terms)
    return value.model_dump()


def _from_plain(kind: type, value: Any) -> Any:
    assert issubclass(kind, Terms)
    return kind.model_validate(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_to_plain)
_decoder = msgspec.msgpack.Decoder(Served, dec_hook=_from_plain)
