"""A place among those at work at the same time, from when it was taken until it is left: renewed again and again, so
that only the places of those whose process died become free by themselves. Knows nothing about who counts what.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.limits.buckets import LEASE_S, Place

#: a place is renewed as often (seconds), so that two renewals may be lost
RENEW_S = LEASE_S / 3


class Landlord(Protocol):
    """Who keeps places."""

    def renew(self, owner: str, place: Place) -> asyncio.Task[None] | None:
        """Hold it for longer; what does so elsewhere, where nobody waits for it."""

    async def leave(self, owner: str, place: Place, renewing: asyncio.Task[None] | None) -> None:
        """Free it, where it is just being renewed after that."""


class Stay:
    """One place that was taken. `end` it, once or more often."""

    def __init__(self, landlord: Landlord, owner: str, place: Place) -> None:
        self._landlord, self._owner, self._place = landlord, owner, place
        self._renewing: asyncio.Task[None] | None = None
        self._renewal: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(RENEW_S, self._renew)

    async def end(self) -> None:
        """Give the place back. Waits for nobody."""
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal.cancel()
            await self._landlord.leave(self._owner, self._place, self._renewing)

    def _renew(self) -> None:
        self._renewing = self._landlord.renew(self._owner, self._place)
        self._renewal = asyncio.get_running_loop().call_later(RENEW_S, self._renew)
