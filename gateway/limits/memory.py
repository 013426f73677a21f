"""Limits kept in this process: where there is no Redis, and while it is away, going on from what was last seen of it.

Nothing here waits, so each call is one step. Knows nothing about which limits there are.
"""

from __future__ import annotations

from gateway.clock import Clock
from gateway.limits.buckets import LEASE_US, Correction, Draw, Place, Taken
from gateway.limits.gcra import MICROSECONDS, Level, corrected, level, settled, wait_us

#: buckets that may be kept before those that are full are looked for, and forgotten
FIRST_SWEEP = 1024


class MemoryBuckets:
    """TATs by owner and bucket; a bucket that is full again is as good as none, and is forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tats_us: dict[tuple[str, str], int] = {}
        self._leases_us: dict[str, dict[str, int]] = {}  # owner -> lease -> its end
        self._sweep_at = FIRST_SWEEP

    async def take(self, owner: str, draws: tuple[Draw, ...], place: Place | None) -> Taken:
        now_us = self._now_us()
        tats_us = [self._tat_us(owner, draw, now_us) for draw in draws]
        waits_us = [wait_us(draw.bucket, tat, now_us, draw.units) for draw, tat in zip(draws, tats_us, strict=True)]
        crowded = place is not None and self._in_flight(owner, now_us) >= place.most
        granted = not crowded and not any(waits_us)
        if granted:
            tats_us = [tat + draw.units * draw.bucket.interval_us for draw, tat in zip(draws, tats_us, strict=True)]
            for draw, tat in zip(draws, tats_us, strict=True):
                if draw.units:
                    self._keep(owner, draw.bucket.name, tat, now_us)
            if place is not None:
                self.hold(owner, place)
        levels = (
            level(draw.bucket, tat, now_us, wait) for draw, tat, wait in zip(draws, tats_us, waits_us, strict=True)
        )
        return Taken(granted, crowded, now_us, tuple(levels))

    async def correct(self, owner: str, corrections: tuple[Correction, ...]) -> None:
        now_us = self._now_us()
        for one in corrections:
            tat_us = self._tat_us(owner, one, now_us)
            tat_us = corrected(one.bucket, tat_us, now_us, one.at_us, one.taken, one.used)
            self._keep(owner, one.bucket.name, tat_us, now_us)

    def continue_from(self, owner: str, draws: tuple[Draw, ...], levels: tuple[Level, ...]) -> None:
        """Take over levels that others keep, so that nobody gets whole limits anew when those are away."""
        now_us = self._now_us()
        for draw, seen in zip(draws, levels, strict=True):
            self._keep(owner, draw.bucket.name, now_us + seen.reset_us, now_us)

    async def renew(self, owner: str, place: Place) -> None:
        self.hold(owner, place)

    def hold(self, owner: str, place: Place) -> None:
        """Hold a place for LEASE_S from now on, whether there is one or not."""
        self._leases_us.setdefault(owner, {})[place.lease] = self._now_us() + LEASE_US

    async def leave(self, owner: str, place: Place) -> None:
        leases = self._leases_us.get(owner, {})
        leases.pop(place.lease, None)
        if not leases:
            self._leases_us.pop(owner, None)

    def _now_us(self) -> int:
        return int(self._clock.monotonic() * MICROSECONDS)

    def _tat_us(self, owner: str, of: Draw | Correction, now_us: int) -> int:
        kept_us = self._tats_us.get((owner, of.bucket.name), now_us)
        tat_us = settled(of.bucket, kept_us, now_us)
        if tat_us < kept_us:  # it was cut; else it would be again and again, and never fill
            self._keep(owner, of.bucket.name, tat_us, now_us)
        return tat_us

    def _in_flight(self, owner: str, now_us: int) -> int:
        """Places that are held. A lease that ends later than any could is of a clock that ran ahead."""
        leases = self._leases_us.get(owner, {})
        for lease in [one for one, end_us in leases.items() if not now_us < end_us <= now_us + 2 * LEASE_US]:
            del leases[lease]
        return len(leases)

    def _keep(self, owner: str, bucket: str, tat_us: int, now_us: int) -> None:
        if tat_us <= now_us:
            self._tats_us.pop((owner, bucket), None)
            return
        self._tats_us[owner, bucket] = tat_us
        if len(self._tats_us) > self._sweep_at:
            self._tats_us = {name: tat for name, tat in self._tats_us.items() if tat > now_us}
            self._sweep_at = max(FIRST_SWEEP, 2 * len(self._tats_us))
