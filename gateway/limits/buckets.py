"""Where limits are kept: what both forms, in memory and in Redis, are asked and answer.

An owner is the name of a key. Every call over several buckets is one step: all of it happens, or nothing.
Knows nothing about which limits there are.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from gateway.limits.gcra import MICROSECONDS, Bucket, Level

#: a place among the requests in flight that nobody renews is free again after this: its process died
LEASE_S = 30
LEASE_US = LEASE_S * MICROSECONDS


class Draw(msgspec.Struct, frozen=True):
    """Units to take from a bucket; 0 only looks."""

    bucket: Bucket
    units: int


class Place(msgspec.Struct, frozen=True):
    """A place among the requests in flight, of which there are `most`. `lease` names it."""

    lease: str
    most: int


class Taken(msgspec.Struct, frozen=True):
    """The answer: was all of it taken, or nothing; and the levels of the buckets, in the order of the draws."""

    granted: bool
    crowded: bool  # there was no place
    at_us: int  # by the clock of whoever keeps the buckets
    levels: tuple[Level, ...]


class Correction(msgspec.Struct, frozen=True):
    """Of the units `taken` from a bucket at `at_us`, so many were `used`; more than taken becomes debt."""

    bucket: Bucket
    taken: int
    used: int
    at_us: int


class Buckets(Protocol):
    """The state of all limits. Where it is kept elsewhere, all methods may raise Absent."""

    async def take(self, owner: str, draws: tuple[Draw, ...], place: Place | None) -> Taken:
        """Take all draws and the place, or nothing."""

    async def correct(self, owner: str, corrections: tuple[Correction, ...]) -> None:
        """Put right what was taken, once what was used is known."""

    async def renew(self, owner: str, place: Place) -> None:
        """Hold a place for another LEASE_S, also when it was forgotten meanwhile."""

    async def leave(self, owner: str, place: Place) -> None:
        """Free a place. Once more does no harm."""
