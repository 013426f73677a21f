"""The clock, injected wherever a time is kept, so that tests can turn its hands.

Durations inside one wait (what a timeout allows and what is left of it, how long an engine stayed up) are told by the
event loop's own clock instead, in `gateway.guards` and `gateway.fleet.keeper`: the timers that end such a wait run by
it, and a second clock would not agree with them, least of all under a loop whose time a test makes jump.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Protocol


class Clock(Protocol):
    """What time it is, for whoever must be testable without waiting."""

    def monotonic(self) -> float:
        """Seconds that only ever grow; for durations."""

    def now(self) -> datetime:
        """The time of day, with its time zone; for people and for the `hours` of a rule."""


class SystemClock:
    def __init__(self) -> None:
        self._zones: dict[int, timezone] = {}  # made once for each offset: a machine knows two, winter's and summer's

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        seconds = time.time()
        offset_s = time.localtime(seconds).tm_gmtoff
        zone = self._zones.get(offset_s) or self._zones.setdefault(offset_s, timezone(timedelta(seconds=offset_s)))
        return datetime.fromtimestamp(seconds, zone)
