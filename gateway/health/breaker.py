"""When an engine has failed too often, it is left alone for a while; then one attempt may find out how it is.

    closed     opens after FAULTS_TO_OPEN faults in a row, or when half of the last SAMPLE verdicts, all of them recent,
               were faults: an engine that fails three times of five at random seldom does so five times in a row,
               and spoils most speeches all the same. One fault is enough where the engine says when it will be back
    open       nobody gets through until its time is over
    half open  one attempt gets through, the probe: its success closes the breaker, its fault opens it for twice as long

Knows no engine, no class of errors and no clock: whoever asks says what time it is, in seconds that only grow.
"""

from __future__ import annotations

from collections import deque

#: faults in a row that open the breaker
FAULTS_TO_OPEN = 5
#: verdicts that are looked at together, if all of them fell within so many seconds; half of them open it
SAMPLE, SAMPLE_WITHIN_S = 20, 60.0
#: seconds an open breaker waits before one probe is let through: doubled for each probe that fails
OPEN_S, LONGEST_OPEN_S = 10.0, 120.0
#: longest time (seconds) that an engine is left alone because it said so: it may be mended earlier than it thinks
LONGEST_TOLD_S = 600.0


class Breaker:
    """Of one engine. `faults` counts those in a row, and goes on being told while the breaker is open."""

    def __init__(self) -> None:
        self.faults = 0
        self.open_until_s = 0.0  # 0: closed; in the past: one probe may go through
        self.probing = False
        self.suspect_until_s = 0.0  # others have found the engine out: until then one fault is enough
        self._open_s = OPEN_S
        self._latest: deque[tuple[float, bool]] = deque(maxlen=SAMPLE)  # when, and was it a fault

    def refuses(self, now_s: float) -> bool:
        """Is it open, or half open with its probe on the way."""
        return self.open_until_s > 0 and (self.probing or now_s < self.open_until_s)

    def admit(self) -> bool:
        """Let one attempt pass that is not refused; True when it is the probe."""
        self.probing = self.open_until_s > 0
        return self.probing

    def give_back(self) -> None:
        """The probe ended without a verdict: the next one may try."""
        self.probing = False

    def succeeded(self, now_s: float) -> bool:
        """An attempt ended well; True when that is news."""
        self._latest.append((now_s, False))
        if not self.faults and not self.open_until_s:
            return False
        if self.open_until_s:
            self.reset()
        self.faults = 0
        return True

    def failed(self, now_s: float, *, probe: bool, back_in_s: float = 0.0) -> bool:
        """An attempt failed by the engine's fault; True when the breaker opens, from closed or once more.

        One that passed before the breaker opened may fail after it: that is no news, and no verdict on the probe.
        `back_in_s`: when the engine will be back, where it says so itself; then it is left alone until that time.
        """
        if self.open_until_s and not probe:
            return False
        self.faults += 1
        self._latest.append((now_s, True))
        if self.open_until_s:
            self.probing, self._open_s = False, min(self._open_s * 2, LONGEST_OPEN_S)
        elif not back_in_s and not self._is_enough(now_s):
            return False
        self.open_until_s = now_s + (min(back_in_s, LONGEST_TOLD_S) or self._open_s)
        return True

    def reset(self) -> None:
        """A new chance: closed, with nothing remembered."""
        self.faults, self.open_until_s, self.probing, self._open_s = 0, 0.0, False, OPEN_S
        self.suspect_until_s = 0.0
        self._latest.clear()

    def words(self) -> str:
        """Why it is open: `after 5 faults`, or `after 12 faults in 20 attempts`."""
        among = sum(fault for _, fault in self._latest)
        if among > self.faults and len(self._latest) == SAMPLE:
            return f"after {among} faults in {SAMPLE} attempts"
        return f"after {self.faults} fault{'' if self.faults == 1 else 's'}"

    def _is_enough(self, now_s: float) -> bool:
        if self.faults >= FAULTS_TO_OPEN or now_s < self.suspect_until_s:
            return True
        latest = self._latest
        recent = len(latest) == SAMPLE and now_s - latest[0][0] <= SAMPLE_WITHIN_S
        return recent and sum(fault for _, fault in latest) * 2 >= SAMPLE
