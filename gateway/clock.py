"""The clock, injected everywhere, so that tests can turn its hands."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that only ever grow; for durations."""

    def now(self) -> datetime:
        """The time of day, with its time zone; for people and for the `hours` of a rule."""


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now().astimezone()
