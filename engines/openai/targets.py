"""The servers behind one engine: who is asked next, and who is left alone for a while because it failed.

The one with the least to do is asked. One that failed is left alone, for twice as long each time; then a single request
finds out how it is, until which the others go on. Where all are left alone, the one that comes back first is asked all
the same: whether the engine as a whole is worth asking is for the gateway's breaker to say. Knows nothing about HTTP.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

#: seconds for which a server that failed is left alone, doubled for each further fault
BACK_OFF_S, LONGEST_BACK_OFF_S = 1.0, 60.0
#: one that had no answer for this long (seconds) when its listener left may hang
SILENT_S = 2.0


@dataclass(slots=True, eq=False)
class Target:
    """One server."""

    url: str
    number: int  # from 1, in the order of engines.yaml: what people are told instead of the URL
    busy: int = 0  # requests that it has now
    turn: int = 0  # of all requests, the number of the one that it had last
    faults: int = 0  # in a row
    left_until_s: float = 0.0
    seen_s: float = -math.inf  # when it last answered well
    probing: bool = False  # its time is over, and one request finds out how it is


class Targets:
    """All servers of one engine. Quick and synchronous; for one event loop."""

    def __init__(self, urls: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._all = [Target(url, number) for number, url in enumerate(urls, 1)]
        self._turns = 0

    def __iter__(self) -> Iterator[Target]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def choose(self, tried: Collection[Target] = ()) -> Target | None:
        """Whom to ask now; None when all were tried."""
        untried = [one for one in self._all if one not in tried]
        if len(untried) < 2:
            return untried[0] if untried else None
        now_s = self._clock()
        well = [one for one in untried if now_s >= one.left_until_s and not one.probing]
        if not well:
            return min(untried, key=lambda one: (one.probing, one.left_until_s))
        return min(well, key=lambda one: (one.busy, one.turn))

    @contextmanager
    def asking(self, target: Target) -> Iterator[None]:
        """While a request is with it."""
        probes = target.faults > 0
        target.busy += 1
        self._turns = target.turn = self._turns + 1
        target.probing = target.probing or probes
        try:
            yield
        finally:
            target.busy -= 1
            if probes:
                target.probing = False

    def succeeded(self, target: Target) -> None:
        """It answered as it should."""
        target.faults, target.left_until_s, target.probing = 0, 0.0, False
        target.seen_s = self._clock()

    def failed(self, target: Target, leave_s: float = 0.0) -> None:
        """It is to blame. `leave_s`: seconds for which it is left alone; 0: as its faults go on."""
        target.faults += 1
        doubled_s = min(BACK_OFF_S * 2 ** min(target.faults - 1, 10), LONGEST_BACK_OFF_S)
        target.left_until_s = max(target.left_until_s, self._clock() + (leave_s or doubled_s))

    def silent(self, target: Target, for_s: float) -> None:
        """A listener left after so many seconds without audio. It may hang, unless it has answered others meanwhile.

        Who left may only have been impatient: where there is another server, that does no harm.
        """
        if for_s > SILENT_S and self._clock() - target.seen_s >= for_s:
            self.failed(target)

    def visited(self, target: Target) -> None:
        """It is there. Whether it speaks well is another matter: that a request finds out."""
        target.seen_s = self._clock()

    def is_due(self, target: Target, every_s: float, soon_s: float) -> bool:
        """Should it be visited now: not seen for so long, or asked again soon after it failed."""
        now_s = self._clock()
        if target.busy:
            return False  # some answer nobody while they speak
        if target.faults:
            return target.left_until_s < now_s + soon_s
        return now_s - target.seen_s >= every_s
