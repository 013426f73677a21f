"""What became of each request, for whoever asks later by its id. A small Protocol, and the form in memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Protocol

import msgspec

from gateway.clock import Clock
from gateway.record import Served
from policies.policy import Terms

#: bytes that the records in memory may hold together: a long text with an engine that fails has hundreds of attempts
MOST_BYTES = 64_000_000
#: roughly, in CPython 3.11: of a record with its plan, of an attempt, and of a clause's engine
_RECORD_BYTES, _ATTEMPT_BYTES, _CLAUSE_BYTES = 3000, 400, 60


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
        self._kept: OrderedDict[str, tuple[float, Served, int]] = OrderedDict()
        self._held_bytes = 0

    async def put(self, served: Served) -> None:
        now_s, size = self._clock.monotonic(), _size(served)
        self._forget(served.request_id)
        self._kept[served.request_id] = (now_s, served, size)
        self._held_bytes += size
        while self._kept:
            request_id, (put_s, _, _) = next(iter(self._kept.items()))
            few = len(self._kept) <= self._keep and self._held_bytes <= MOST_BYTES
            if few and now_s - put_s <= self._keep_s:
                break
            self._forget(request_id)

    async def get(self, request_id: str) -> Served | None:
        put_s, served, _ = self._kept.get(request_id, (0.0, None, 0))
        return served if self._clock.monotonic() - put_s <= self._keep_s else None

    async def aclose(self) -> None: ...

    def _forget(self, request_id: str) -> None:
        _, _, size = self._kept.pop(request_id, (0.0, None, 0))
        self._held_bytes -= size


def _size(served: Served) -> int:
    """Bytes that a record holds, roughly."""
    attempts = sum(_ATTEMPT_BYTES + len(one.message) for one in served.attempts)
    return _RECORD_BYTES + attempts + _CLAUSE_BYTES * len(served.clause_engines)


# --- for a store outside this process ---


def pack_outcome(served: Served) -> bytes:
    """A record as bytes."""
    return _encoder.encode(served)


def unpack_outcome(packed: bytes) -> Served:
    """The inverse. Raises ValueError for what is no record, or one of a version that has other fields."""
    try:
        return _decoder.decode(packed)
    except msgspec.MsgspecError as error:
        raise ValueError("not a record") from error


def _to_plain(value: object) -> Any:
    assert isinstance(value, Terms)
    return value.model_dump()


def _from_plain(kind: type, value: Any) -> Any:
    assert issubclass(kind, Terms)
    return kind.model_validate(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_to_plain)
_decoder = msgspec.msgpack.Decoder(Served, dec_hook=_from_plain)
