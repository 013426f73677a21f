"""Admits requests within the limits of their keys. Knows nothing about HTTP, texts or engines.

Whoever has no limits costs nothing. For others the shared buckets are asked; while those are away, this process counts
by itself, from what it saw of them last, so that speech never fails because of what counts it. What a request took is
put right where it was taken. Its place in flight is held in both, so that neither's coming and going frees it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections import Counter
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from engines.errors import SpeechError
from gateway.absent import Absent
from gateway.configuration.settings import Limits
from gateway.keys.caller import Caller
from gateway.limits.buckets import Buckets, Correction, Draw, Place, Taken
from gateway.limits.gcra import MICROSECONDS, NEVER, Bucket, Level
from gateway.limits.headers import Headers, duration, limit_headers
from gateway.limits.memory import MemoryBuckets
from gateway.limits.permit import FREE, Permit
from gateway.limits.stay import Stay

logger = logging.getLogger("voxgate.limits")

MINUTE_US, DAY_US = 60 * MICROSECONDS, 86400 * MICROSECONDS
#: audio is counted in hundredths of a second: whole numbers, and few enough for a bucket of a day
AUDIO_UNITS_PER_S = 100
#: seconds until another try where no clock tells: a request in flight ends when it ends
CROWDED_RETRY_S = 1.0
#: calls by the side that may be under way; beyond that, leases run out and buckets fill by themselves
MOST_ASIDE = 1000


class RateLimited(SpeechError):
    """The limits of the key are reached, or the text alone is larger than one of them. The message names the limit."""

    code = "rate_limit_exceeded"
    status = 429
    client_may_retry = True

    def __init__(self, message: str, *, retry_after_s: float | None, headers: Headers) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.client_may_retry = retry_after_s is not None
        self.headers = headers


class Limiter:
    """Hands out permits. `shared` are the buckets of all gateways together, `own` those of this process."""

    def __init__(self, own: MemoryBuckets, shared: Buckets | None = None) -> None:
        self._own, self._shared = own, shared
        self.refused: Counter[str] = Counter()  # requests, by the name of the limit that was reached
        self._aside: set[asyncio.Task[None]] = set()

    async def admit(self, caller: Caller) -> Permit:
        """Count one request and give it a place among those in flight. Raises RateLimited, having taken nothing."""
        limits = caller.limits
        if not (
            limits.requests_per_minute
            or limits.characters_per_minute
            or limits.audio_seconds_per_day
            or limits.in_flight
        ):
            return FREE
        permit = Admission(self, caller.name, limits)
        await permit.begin()
        return permit

    async def take(self, owner: str, draws: tuple[Draw, ...], place: Place | None = None) -> tuple[Buckets, Taken]:
        """Take all or nothing; and where it was taken."""
        if self._shared is not None:
            try:
                taken = await self._shared.take(owner, draws, place)
            except BaseException as error:
                if place is not None:  # it may be taken all the same, with the answer lost
                    self.aside(self._shared.leave(owner, place))
                if not isinstance(error, Absent):
                    raise
            else:
                self._own.continue_from(owner, draws, taken.levels)
                if place is not None and taken.granted:
                    self._own.hold(owner, place)
                return self._shared, taken
        return self._own, await self._own.take(owner, draws, place)

    # What follows makes nobody wait: the own buckets never do, and the shared ones are told by the side.

    async def correct(self, home: Buckets, owner: str, corrections: tuple[Correction, ...]) -> None:
        """Put right what was taken at `home`."""
        if home is self._own:
            await self._own.correct(owner, corrections)
        else:
            self.aside(home.correct(owner, corrections))

    def renew(self, owner: str, place: Place) -> asyncio.Task[None] | None:
        """Go on holding a place, also where it was not held while the shared buckets were away; what does so there."""
        self._own.hold(owner, place)
        return self.aside(self._shared.renew(owner, place)) if self._shared is not None else None

    async def leave(self, owner: str, place: Place, renewing: asyncio.Task[None] | None) -> None:
        """Free a place; where it is just being renewed, after that."""
        await self._own.leave(owner, place)
        if self._shared is not None:
            self.aside(_leave(self._shared, owner, place, renewing))

    def aside(self, call: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Make a call that nobody waits for, and that may fail."""
        if len(self._aside) >= MOST_ASIDE:
            call.close()
            return None
        task = asyncio.create_task(_unheard(call))
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        return task

    async def aclose(self) -> None:
        """Wait for what is under way: each call has a bound of its own."""
        await asyncio.gather(*self._aside)


async def _leave(buckets: Buckets, owner: str, place: Place, renewing: asyncio.Task[None] | None) -> None:
    if renewing is not None:
        await asyncio.wait((renewing,))
    await buckets.leave(owner, place)


async def _unheard(call: Coroutine[Any, Any, None]) -> None:
    try:
        await call
    except Absent as error:
        logger.debug("a limit was not put right: %s", error)


class Admission:
    """The permit of a caller with limits."""

    def __init__(self, limiter: Limiter, owner: str, limits: Limits) -> None:
        self._limiter, self._owner = limiter, owner
        self._buckets = buckets_of(limits)
        self._levels: dict[str, tuple[Bucket, Level]] = {}
        self._before: dict[str, tuple[Bucket, Level]] = {}  # before anything was spent
        self._place = Place(uuid.uuid4().hex, limits.in_flight) if limits.in_flight else None
        self._stay: Stay | None = None
        self._spent: tuple[Buckets, list[Correction]] | None = None

    async def begin(self) -> None:
        """Take one request and a place, and look at the rest. Raises RateLimited."""
        draws = tuple(Draw(bucket, int(bucket.name == "requests")) for bucket in self._buckets)
        _, taken = await self._limiter.take(self._owner, draws, self._place)
        self._see(draws, taken)
        if self._place is not None:
            self._stay = Stay(self._limiter, self._owner, self._place)

    async def spend(self, characters: int, audio_s: float) -> None:
        units = {"characters": characters, "audio": _audio_units(audio_s)}
        draws = tuple(Draw(bucket, units[bucket.name]) for bucket in self._buckets if bucket.name in units)
        if not draws:
            return
        home, taken = await self._limiter.take(self._owner, draws)
        self._before = dict(self._levels)
        self._see(draws, taken)
        # until it is over, nothing of it is used
        self._spent = home, [Correction(draw.bucket, draw.units, 0, taken.at_us) for draw in draws]

    async def settle(self, audio_s: float, *, spoken: bool) -> None:
        if self._spent is None:
            return
        home, spent = self._spent
        self._spent = None
        if spoken:  # the characters are used as they were counted
            used = _audio_units(audio_s)
            spent = [msgspec.structs.replace(one, used=used) for one in spent if one.bucket.name == "audio"]
        else:
            self._levels |= self._before
        if spent:
            await self._limiter.correct(home, self._owner, tuple(spent))

    def headers(self) -> Headers:
        return limit_headers(self._levels.values())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stay is not None:
            await self._stay.end()

    def _see(self, draws: Sequence[Draw], taken: Taken) -> None:
        """Remember the levels for the headers. Raises RateLimited when nothing was granted."""
        for draw, level in zip(draws, taken.levels, strict=True):
            self._levels[draw.bucket.name] = draw.bucket, level
        if not taken.granted:
            reached = _reached(draws, taken)
            self._limiter.refused[reached[0].bucket.name if reached else "in_flight"] += 1
            message, retry_after_s = _refusal(reached, self._place)
            raise RateLimited(message, retry_after_s=retry_after_s, headers=self.headers())


def buckets_of(limits: Limits) -> tuple[Bucket, ...]:
    """The buckets of a key, as many as it has limits."""
    buckets = (
        Bucket("requests", limits.requests_per_minute, MINUTE_US),
        Bucket("characters", limits.characters_per_minute, MINUTE_US),
        Bucket("audio", limits.audio_seconds_per_day * AUDIO_UNITS_PER_S, DAY_US, debt=True),
    )
    return tuple(bucket for bucket in buckets if bucket.limit)


def _audio_units(audio_s: float) -> int:
    return math.ceil(audio_s * AUDIO_UNITS_PER_S)


def _reached(draws: Sequence[Draw], taken: Taken) -> tuple[Draw, int] | None:
    """What stands in the way longest, and for how many microseconds, or NEVER; None: only that there is no place."""
    waits = [(draw, level.wait_us) for draw, level in zip(draws, taken.levels, strict=True) if level.wait_us]
    return max(waits, key=lambda one: math.inf if one[1] == NEVER else one[1], default=None)


def _refusal(reached: tuple[Draw, int] | None, place: Place | None) -> tuple[str, float | None]:
    """What a refused client is told, and the seconds after which another try makes sense, if ever one does."""
    if reached is None:
        most = place.most if place else 0
        return f"the limit of {most} requests at the same time is reached; try again when one ends", CROWDED_RETRY_S
    draw, wait_us = reached
    if wait_us == NEVER:
        takes = f"this text takes {_amount(draw)}, more than the whole limit of {_limit(draw.bucket)}"
        return f"{takes}: send it in parts", None
    return f"the limit of {_limit(draw.bucket)} is reached; try again in {duration(wait_us)}", wait_us / MICROSECONDS


def _amount(draw: Draw) -> str:
    if draw.bucket.name == "audio":
        return f"about {draw.units / AUDIO_UNITS_PER_S:.0f} seconds of audio"
    return f"{draw.units} {draw.bucket.name}"


def _limit(bucket: Bucket) -> str:
    if bucket.name == "audio":
        return f"{bucket.limit // AUDIO_UNITS_PER_S} seconds of audio a day"
    return f"{bucket.limit} {bucket.name} a minute"
