"""What engines' accounts at clouds allow: so many starts in any second, so many tasks at the same time.

A start is booked, not tried again and again: the bucket is deeper than what may start at once, by all that may be
waited for, so that one call tells each of all gateways when its turn is, in one line. A turn that is not used is lost:
whoever came later could not have it without two who start together at the end of the line.

Counted where the limits of keys are, and while nobody can be asked there, by this process alone. Knows no engine.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

from engines.errors import Throttled
from gateway.limits.buckets import Draw, Place
from gateway.limits.gcra import MICROSECONDS, Bucket
from gateway.limits.limiter import Limiter
from gateway.limits.stay import Stay

#: longest wait for a turn, and for a place before it: less than what is usual for a first audio, so that there is time
#: for another engine
WITHIN_S = 2.0
#: the second in which the service counts, and by how much two starts may come closer to one another on the way there
WINDOW_US = MICROSECONDS + MICROSECONDS // 10
#: of what may start in a second, the part that may start at once
BURST_PART = 4
#: pause before another look for a place: nobody tells when one becomes free elsewhere
LOOK_AGAIN_S = 0.1
#: what is told to whom there is no turn for: in this time a part of the line has gone
RETRY_S = 1.0


class AccountQuota:
    """`engines.contract.Quota`. `patience`: around one call, what it may wait for a Redis."""

    def __init__(self, limiter: Limiter, patience: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        self._limiter, self._patience = limiter, patience

    @asynccontextmanager
    async def start(self, account: str, what: str, per_s: int, at_once: int) -> AsyncGenerator[None, None]:
        """See `engines.contract.Quota.start`."""
        owner = f"account {account} {what}"  # no key of a client's has a space in its name
        place = Place(uuid.uuid4().hex, at_once) if at_once else None
        wait_s = await self._book(owner, per_s, place)
        stay = Stay(self._limiter, owner, place) if place else None
        try:
            await asyncio.sleep(wait_s)
            yield
        finally:
            if stay:
                await stay.end()

    async def _book(self, owner: str, per_s: int, place: Place | None) -> float:
        """Seconds until the turn that is ours now, with the place if one is wanted. Raises Throttled."""
        burst, bucket = turns(per_s)
        draws = (Draw(bucket, 1),) if per_s else ()
        until_s = asyncio.get_running_loop().time() + WITHIN_S
        while draws or place:
            with self._patience():
                _, taken = await self._limiter.take(owner, draws, place)
            if taken.granted:
                booked_us = max((one.reset_us for one in taken.levels), default=0)
                return max(booked_us - burst * bucket.interval_us, 0) / MICROSECONDS
            wait_s = max((one.wait_us for one in taken.levels), default=0) / MICROSECONDS
            if wait_s:
                raise Throttled(
                    f"more is waiting to start than its account allows: {per_s} a second",
                    retry_after_s=max(wait_s, RETRY_S),
                )
            if asyncio.get_running_loop().time() >= until_s:
                raise Throttled("as much is under way as its account allows at a time", retry_after_s=RETRY_S)
            await asyncio.sleep(LOOK_AGAIN_S)
        return 0.0


def turns(per_s: int) -> tuple[int, Bucket]:
    """How many tasks may start at once, and the bucket of all turns that may be booked.

    A burst b and an interval T let b + ceil(W / T) - 1 units through in a window W that includes one of its ends: T is
    the shortest at which that is `per_s`.
    """
    per_s = max(per_s, 1)
    burst = max(1, per_s // BURST_PART)
    interval_us = -(-WINDOW_US // (per_s - burst + 1))
    ahead = burst + int(WITHIN_S * MICROSECONDS) // interval_us
    return burst, Bucket("starts", ahead, ahead * interval_us)
