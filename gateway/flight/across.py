"""A speech that is made in one process and heard in another: pieces written behind a claim, and read from there.

    head   who speaks; before the first piece
    part   encoded audio
    tail   how it ended

What cannot be written or read costs the making nothing: everybody goes on alone. A reader whose maker is gone, or who
lost sight of it, raises Abandoned and is told by `Flight` whether anything was heard. Knows nothing about Redis.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import msgspec

from engines.errors import Interrupted, SpeechError
from gateway.absent import Absent
from gateway.flight.claims import LEASE_S, RENEW_S, Claims
from gateway.flight.flight import Abandoned, Flight, Piece
from gateway.record import Making
from gateway.refusals import OutOfTime

logger = logging.getLogger("voxgate.flight")
T = TypeVar("T")

#: seconds between two writes, and between two looks of a reader, who looks less often while nothing comes
PACE_S, LONGEST_PACE_S = 0.02, 0.1
#: seconds until a call that failed is tried again
AGAIN_S = 0.2
#: seconds in which a leaving listener learns whether somebody listens elsewhere
ASK_S = 0.08
#: bytes that are written at once
BATCH_BYTES = 1_000_000


class Head(msgspec.Struct, tag="head", array_like=True):
    """Who speaks."""

    engine: str
    engine_voice: str
    degraded: str


class Part(msgspec.Struct, tag="part", array_like=True):
    """Encoded audio; `audio_s`: seconds of speech released up to its end."""

    audio_s: float
    data: bytes


class Tail(msgspec.Struct, tag="tail", array_like=True):
    """`error`: the code of a SpeechError, empty when it ended well; `abandoned`: given up, for no fault of engines."""

    audio_s: float
    clause_engines: list[str]
    abandoned: bool = False
    error: str = ""
    message: str = ""
    status: int = 0
    retry_after_s: float | None = None
    param: str | None = None


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Head | Part | Tail).decode


class MadeElsewhere(SpeechError):
    """What ended a speech that another gateway was making, as it was told there."""

    def __init__(self, tail: Tail) -> None:
        super().__init__(tail.message, retry_after_s=tail.retry_after_s, param=tail.param)
        self.code, self.status, self.client_may_retry = tail.error, tail.status, tail.retry_after_s is not None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make one speech, or the sight of who has it."""

    claims: Claims
    flight: str
    token: str
    ours: bool

    async def give_back(self) -> None:
        """Nothing was made."""
        try:
            await self.claims.end(self.flight, self.token, 0, [_encode(Tail(0.0, [], abandoned=True))], False)
        except Absent as error:
            logger.debug("a claim is left to lapse: %s", error)


async def claim(claims: Claims | None, flight: str) -> Claim | None:
    """Claim the making of a speech. None: nobody is asked, or nobody answers; make it and share it with nobody."""
    if claims is None or not flight:
        return None
    token = uuid.uuid4().hex
    try:
        holder = await claims.claim(flight, token)
    except Absent as error:
        logger.debug("not shared: %s", error)
        return None
    return Claim(claims, flight, holder, holder == token)


# --- reading ---


async def follow(claim: Claim, making: Making) -> AsyncGenerator[bytes, None]:
    """The pieces that the holder of `claim` writes, as they come. Fills `making`.

    Raises what ended it there, Interrupted for whatever follows the first piece, and Abandoned.
    """
    loop = asyncio.get_running_loop()
    at, heard, pace_s, seen_s = 0, False, PACE_S, loop.time()
    while True:
        try:
            news = await claim.claims.read(claim.flight, claim.token, at)
        except Absent:
            if not heard or loop.time() - seen_s > LEASE_S:
                raise Abandoned from None
            await asyncio.sleep(AGAIN_S)
            continue
        if not news.items and not news.held:
            raise Abandoned
        at, seen_s = at + len(news.items), loop.time()
        for item in _decoded(news.items):
            match item:
                case Head():
                    making.engine, making.engine_voice, making.degraded = item.engine, item.engine_voice, item.degraded
                case Part():
                    heard, making.audio_s = True, item.audio_s
                    yield item.data
                case Tail():
                    _finish(item, making, heard)
                    return
        pace_s = PACE_S if news.items else min(pace_s * 1.2, LONGEST_PACE_S)
        if not news.items:
            await asyncio.sleep(pace_s)


def _decoded(items: list[bytes]) -> list[Head | Part | Tail]:
    try:
        return [_decode(item) for item in items]
    except msgspec.MsgspecError:
        logger.warning("a gateway writes what this one cannot read: another version, or another program's keys")
        raise Abandoned from None


def _finish(tail: Tail, making: Making, heard: bool) -> None:
    making.audio_s = tail.audio_s
    making.clause_engines[:] = tail.clause_engines
    if tail.abandoned:
        raise Abandoned
    if tail.error and heard:
        raise Interrupted(tail.message)
    if tail.error:
        raise MadeElsewhere(tail)


# --- writing ---


class Publishing:
    """Writes what one flight makes behind a claim, at its own pace and by the side."""

    def __init__(self, flight: Flight, claim: Claim) -> None:
        self._flight, self._claim = flight, claim
        self._listener = flight.listen(counts=False)
        self._at = 0
        flight.elsewhere = self._watched

    async def run(self) -> None:
        """Until the speech is over, or the claim is lost. Stops the making when nobody listens to it any more."""
        flight, claim = self._flight, self._claim
        try:
            while True:
                pieces, tail = await self._next()
                items = self._items(pieces, tail)
                if tail:
                    call = partial(claim.claims.end, claim.flight, claim.token, self._at, items, flight.making.kept)
                    await self._insist(call)
                    return
                write = partial(claim.claims.append, claim.flight, claim.token, self._at, items)
                standing = await self._insist(write)
                if not standing.held:
                    return
                self._at += len(items)
                if not flight.has_listeners and not standing.watched:
                    await flight.cancel()
                elif items:
                    await asyncio.sleep(PACE_S)
        except Absent as error:
            logger.debug("shared no longer: %s", error)
        finally:
            flight.elsewhere = None
            await self._listener.aclose()

    async def _next(self) -> tuple[list[Piece], Tail | None]:
        """What is to be written: pieces that are there, none when it is time to renew the claim; and the end."""
        pieces, size = list[Piece](), 0
        with suppress(TimeoutError):
            async with asyncio.timeout(RENEW_S):
                await self._listener.wait()
        try:
            while size < BATCH_BYTES and self._listener.ready:
                if (piece := await self._listener.next()) is None:
                    return pieces, self._tail()
                pieces.append(piece)
                size += len(piece.data)
        except Exception as error:
            return pieces, self._tail(error)
        return pieces, None

    def _items(self, pieces: list[Piece], tail: Tail | None) -> list[bytes]:
        making, items = self._flight.making, list[Head | Part | Tail]()
        if pieces and not self._at:
            items.append(Head(making.engine, making.engine_voice, making.degraded))
        if pieces:
            items.append(Part(pieces[-1].audio_s, b"".join(piece.data for piece in pieces)))
        if tail:
            items.append(tail)
        return [_encode(item) for item in items]

    def _tail(self, error: Exception | None = None) -> Tail:
        making = self._flight.making
        tail = Tail(making.audio_s, making.clause_engines, abandoned=self._flight.abandoned)
        # whose time is over, and whose line is full, says nothing of others: they try for themselves
        if isinstance(error, SpeechError) and not isinstance(error, OutOfTime) and error.code != "busy":
            tail.error, tail.message, tail.status = error.code, error.message, error.status
            tail.retry_after_s, tail.param = error.retry_after_s, error.param
        elif error is not None:
            tail.abandoned = True
        return tail

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Try until the claim has lapsed. Raises Absent."""
        until_s = asyncio.get_running_loop().time() + LEASE_S
        while True:
            try:
                return await call()
            except Absent:
                if asyncio.get_running_loop().time() >= until_s:
                    raise
                await asyncio.sleep(AGAIN_S)

    async def _watched(self) -> bool:
        claim = self._claim
        try:
            async with asyncio.timeout(ASK_S):
                standing = await claim.claims.append(claim.flight, claim.token, 0, [])
        except (Absent, TimeoutError):
            return False
        return standing.held and standing.watched
