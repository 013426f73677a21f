"""The generic cell rate algorithm in whole microseconds: what is left of a limit, and when there is room again.

Source: the ATM Forum's Traffic Management Specification 4.0, section 4.4.2, and ITU-T I.371, annex A: GCRA(T, tau) in
its form of virtual scheduling, which is a leaky bucket as a meter. A limit of L units in a period P has the emission
interval T = P / L and lets a burst of L units through. A bucket's state is one number, its theoretical arrival time
(TAT): the time at which it will be full again, so that TAT - now is what is used, told in time.

Pure: knows nothing about clocks, callers or where a state is kept. `gateway/redis/buckets.py` has the same arithmetic
in Lua, and tests compare the two.
"""

from __future__ import annotations

import msgspec

MICROSECONDS = 1_000_000
#: wait of a cost that is larger than its whole bucket
NEVER = -1


class Bucket(msgspec.Struct, frozen=True):
    """A limit of `limit` units in `period_us`. With `debt`, corrections may overdraw it by one whole bucket."""

    name: str
    limit: int
    period_us: int
    debt: bool = False

    @property
    def interval_us(self) -> int:
        """T, rounded up: a limit that does not divide its period is never exceeded, but missed by a microsecond."""
        return -(-self.period_us // self.limit)

    @property
    def burst_us(self) -> int:
        """How far a TAT may be ahead, when the last unit is taken."""
        return self.limit * self.interval_us

    @property
    def ceiling_us(self) -> int:
        """How far a TAT is ever ahead. One further is of a clock that ran ahead, or of a larger limit, and is cut."""
        return self.burst_us * 2 if self.debt else self.burst_us


class Level(msgspec.Struct, frozen=True):
    """How full a bucket is: whole units left, time until all are back, and time until what was asked for is there."""

    remaining: int
    reset_us: int
    wait_us: int  # 0: it is there; NEVER


def settled(bucket: Bucket, tat_us: int, now_us: int) -> int:
    """The TAT as it counts now: a full bucket gets no fuller. One that was cut must be kept, or it would never fill."""
    return min(max(tat_us, now_us), now_us + bucket.ceiling_us)


def wait_us(bucket: Bucket, tat_us: int, now_us: int, cost: int) -> int:
    """Time until `cost` units can be taken from a bucket with this settled TAT. 0: now. Looking costs nothing."""
    if cost > bucket.limit:
        return NEVER
    return max(tat_us + cost * bucket.interval_us - bucket.burst_us - now_us, 0) if cost else 0


def level(bucket: Bucket, tat_us: int, now_us: int, wait: int = 0) -> Level:
    """What a settled TAT means."""
    remaining = max(now_us + bucket.burst_us - tat_us, 0) // bucket.interval_us
    return Level(remaining, tat_us - now_us, wait)


def corrected(bucket: Bucket, tat_us: int, now_us: int, at_us: int, taken: int, used: int) -> int:
    """The TAT once it is known that of `taken` units, taken at `at_us`, only `used` were, or more than were taken.

    What time has given back already is not given back once more: a cost that drains by itself is gone after `taken`
    intervals, and no more than is left of it returns. So the sum of all that may still be returned is never larger than
    what is missing in the bucket, and no window of time lets more units be used than burst and rate allow.
    """
    if used > taken:
        return min(tat_us + (used - taken) * bucket.interval_us, now_us + bucket.ceiling_us)
    left_us = max(taken * bucket.interval_us - max(now_us - at_us, 0), 0)
    return max(tat_us - min((taken - used) * bucket.interval_us, left_us), now_us)
