"""Quantiles of any number of durations in little memory: counts in buckets that each are 2 percent wide."""

from __future__ import annotations

import math
from collections import Counter

_LOG_WIDTH = math.log(1.02)
#: what is shorter (seconds) counts as nothing
_SHORTEST_S = 1e-4


class Quantiles:
    """Seconds, known to 1 percent."""

    def __init__(self) -> None:
        self.count = 0
        self._buckets: Counter[int | None] = Counter()  # None: nothing

    def add(self, seconds: float) -> None:
        self.count += 1
        self._buckets[None if seconds < _SHORTEST_S else math.floor(math.log(seconds) / _LOG_WIDTH)] += 1

    def at(self, part: float) -> float | None:
        """The value that `part` of all do not exceed; None when there is none."""
        if not self.count:
            return None
        left = max(1, math.ceil(part * self.count)) - self._buckets[None]
        if left <= 0:
            return 0.0
        for bucket in sorted(one for one in self._buckets if one is not None):
            left -= self._buckets[bucket]
            if left <= 0:
                break
        return math.exp((bucket + 0.5) * _LOG_WIDTH)
