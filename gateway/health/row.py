"""What is known about one engine: how it is, who is in its line, how quick it was. One row of the board.

The fleet writes what the engine is, the guards write what it does: each attempt holds the row itself, so that one of an
engine that was replaced meanwhile writes on its own, old one. Knows nothing about requests or engines' code.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from engines.contract import EngineInfo
from engines.errors import SpeechError, Unavailable
from engines.slots import Slots
from gateway.clock import Clock
from gateway.health.breaker import Breaker
from gateway.health.line import Line
from policies.types import EngineState, State

logger = logging.getLogger("voxgate.fleet")

#: seconds a throttled engine is left alone when its service does not say, and at most, whatever it says
COOL_DOWN_S, LONGEST_COOL_DOWN_S = 15.0, 3600.0
#: weight of the newest measurement in the running averages
NEWEST = 0.3
#: a measurement older than this (seconds) is forgotten, so that a slow spell does not exclude an engine for ever. But
#: what an engine never managed, however quick it was, is not expected of it after a silence either
STALE_S = 60.0
#: after this many seconds the time that a line takes is told anew, and the time until a return
WAIT_FRESH_S, RETURN_FRESH_S = 0.1, 1.0


class Watcher(Protocol):
    """Hears of every measurement, of which a row keeps an average only."""

    def waited(self, engine: str, wait_s: float) -> None:
        """An attempt has its slot, after so many seconds."""

    def worked(self, engine: str, work_s: float, audio_s: float) -> None:
        """A clause of so many seconds was spoken well, in so many seconds of work."""


@dataclass(slots=True, eq=False)
class Row:
    """What is known about one engine now. All methods are quick and synchronous; used from one event loop."""

    name: str
    slots: Slots
    clock: Clock
    watchers: list[Watcher] = field(default_factory=list, repr=False)
    cost_per_1k_chars: float = 0.0
    info: EngineInfo | None = None
    state: State = "starting"
    reason: str = "starting"
    since: datetime | None = None
    breaker: Breaker = field(default_factory=Breaker)
    line: Line = field(default_factory=Line)
    last_fault: str = ""
    cooling_until_s: float = 0.0
    throttled_until_s: float = 0.0  # the part of it that the engine told us, not another gateway
    start_at_s: float | None = None  # when it will be started again
    #: since when it has had work and given nobody audio, once an attempt was given up for that; on the loop's clock
    mute_since_s: float | None = None
    first_audio_s: float | None = None
    real_time_factor: float | None = None
    quickest: float | None = None  # the lowest real-time factor since it came up
    stretch: float = 1.0  # audio that it gives for each second that was estimated
    measured_at_s: float = -math.inf
    # the view made last, and what it was made from
    _view: EngineState | None = field(default=None, repr=False)
    _view_load: tuple[int, int, int] = (0, 0, 0)
    _view_until_s: float = 0.0

    # --- what the fleet says ---

    def set_state(self, state: State, reason: str = "") -> None:
        """The life of the engine itself. Coming up closes its breaker: a new start is a new chance."""
        if self.state != state:
            self.since = self.clock.now()
        if state == "up" and self.state != "up":
            self.breaker.reset()
            self.mute_since_s = self.quickest = None
        self.state, self.reason, self.start_at_s, self._view = state, reason, None, None

    def comes_back_in(self, seconds: float) -> None:
        """It is down, and will be started again after so long."""
        self.start_at_s, self._view = self.clock.monotonic() + seconds, None

    def set_info(self, info: EngineInfo) -> None:
        if self.info != info:
            self.info, self._view = info, None

    def set_cost(self, cost_per_1k_chars: float) -> None:
        self.cost_per_1k_chars, self._view = cost_per_1k_chars, None

    # --- what the guards say ---

    def admit(self) -> bool:
        """Let one attempt pass the breaker; True when it is the one probe of a half-open breaker.

        Raises Unavailable while the breaker is open, or half open with its probe on the way.
        """
        now_s = self.clock.monotonic()
        if self.breaker.refuses(now_s):
            raise self._open(now_s)
        probe = self.breaker.admit()
        if probe:
            self._view = None
        return probe

    def give_back_probe(self) -> None:
        """The probe ended without a verdict (the client left, the text was refused): the next one may try."""
        self.breaker.give_back()
        self._view = None

    def succeeded(self) -> None:
        opened = self.breaker.open_until_s
        if self.breaker.succeeded(self.clock.monotonic()):
            if opened:
                logger.info("engine %s speaks again", self.name)
            self.since, self._view = self.clock.now(), None

    def failed(self, error: SpeechError, *, probe: bool = False) -> None:
        """Take one error into account, as its class says: nothing, a cool-down, or a fault.

        When the breaker opens, those who wait in line go to the next engine at once.
        """
        now_s, self._view = self.clock.monotonic(), None
        if error.health == "cools":
            until_s = self.cool(error.retry_after_s or COOL_DOWN_S, error.message)
            self.throttled_until_s = max(self.throttled_until_s, until_s)
        if error.health != "hurt":
            if probe:
                self.breaker.give_back()
            return
        if probe or not self.breaker.open_until_s:
            self.last_fault = error.message
        if self.breaker.failed(now_s, probe=probe, back_in_s=error.retry_after_s or 0.0):
            if not probe:
                self.since = self.clock.now()
            alone_s, why = self.breaker.open_until_s - now_s, self.breaker.words()
            logger.warning("engine %s is left alone for %.0f s, %s: %s", self.name, alone_s, why, error.message)
            self.slots.turn_away(lambda: self._open(now_s))

    def cool(self, seconds: float, reason: str) -> float:
        """Leave the engine alone for so long; returns until when. A shorter time that is told later does not cut a
        longer one."""
        now_s = self.clock.monotonic()
        until_s = now_s + min(seconds, LONGEST_COOL_DOWN_S)
        if until_s > self.cooling_until_s:
            if now_s >= self.cooling_until_s:  # not each of those who are turned away at once
                logger.warning("engine %s cools down for %.0f s: %s", self.name, until_s - now_s, reason)
            self.cooling_until_s, self.last_fault = until_s, reason
            self.since, self._view = self.clock.now(), None
        return until_s

    def measured(self, *, first_audio_s: float, work_s: float, audio_s: float, estimated_s: float = 0.0) -> None:
        """A clause was spoken well: `work_s` is the time the engine took, waiting for the listener left out.

        `estimated_s`: seconds of audio that were expected; 0: nothing was.
        """
        now_s = self.clock.monotonic()
        stale = now_s - self.measured_at_s > STALE_S
        self.first_audio_s = _average(None if stale else self.first_audio_s, first_audio_s)
        if audio_s > 0:
            self.real_time_factor = _average(None if stale else self.real_time_factor, work_s / audio_s)
            self.quickest = min(self.real_time_factor, math.inf if self.quickest is None else self.quickest)
        if estimated_s > 0:
            self.stretch = _average(None if stale else self.stretch, audio_s / estimated_s)
        self.measured_at_s, self._view = now_s, None
        for watcher in self.watchers:
            watcher.worked(self.name, work_s, audio_s)

    def waited(self, wait_s: float) -> None:
        """An attempt waited so long for its slot, in our line and in the engine's own."""
        for watcher in self.watchers:
            watcher.waited(self.name, wait_s)

    # --- what follows for a newcomer ---

    @property
    def wait_s(self) -> float | None:
        """Seconds until one who comes now would have a slot; None while nothing was measured."""
        if self.slots.busy < self.slots.limit and not self.slots.queued:
            return 0.0
        return self.line.wait_s(self.slots.limit, self.clock.monotonic())

    @property
    def place_in_s(self) -> float:
        """Seconds until somebody leaves the line for a slot."""
        seconds = self.line.next_turn_s(self.slots.limit, self.clock.monotonic())
        return self.slots.retry_after_s if seconds is None else seconds

    def come_back_in(self, room_s: float) -> float:
        """Seconds after which one who is turned away should come again, when there is room in `room_s`."""
        return self.line.come_back_in(room_s, self.slots.limit, self.clock.monotonic())

    # --- what policies see ---

    def view(self, now_s: float) -> EngineState:
        """The row as policies see it; made anew only when it changed or a time has run out."""
        load = (self.slots.busy, self.slots.queued, self.line.changes)
        if self._view is not None and self._view_load == load and now_s < self._view_until_s:
            return self._view
        state, reason = self.state, self.reason
        until_s, back_at_s = math.inf, self.start_at_s
        if state == "up" and self.breaker.refuses(now_s):
            state, reason, until_s = "down", f"{self.breaker.words()}: {self.last_fault}", self.breaker.open_until_s
            back_at_s = until_s
        elif state == "up" and now_s < self.cooling_until_s:
            state, reason, until_s = "cooling", self.last_fault, self.cooling_until_s
            back_at_s = until_s
        wait_s = self.wait_s
        if wait_s != 0 or load[0] >= self.slots.limit:
            until_s = min(until_s, now_s + WAIT_FRESH_S)
        elif back_at_s is not None:
            until_s = min(until_s, now_s + RETURN_FRESH_S)
        fresh = now_s - self.measured_at_s <= STALE_S
        if fresh:
            until_s = min(until_s, self.measured_at_s + STALE_S)
        self._view_load, self._view_until_s = load, until_s
        self._view = EngineState(
            name=self.name,
            state=state,
            busy=load[0],
            queued=load[1],
            slots=self.slots.limit,
            queue=self.slots.queue,
            wait_s=wait_s,
            first_audio_s=self.first_audio_s if fresh else None,
            real_time_factor=self.real_time_factor if fresh else self.quickest,
            stretch=self.stretch if fresh else 1.0,
            cost_per_1k_chars=self.cost_per_1k_chars,
            reason=reason,
            since=self.since,
            back_in_s=None if back_at_s is None else max(0.0, back_at_s - now_s),
            info=self.info,
        )
        return self._view

    def _open(self, now_s: float) -> Unavailable:
        """What is told to whom an open breaker turns away."""
        back_in_s = max(0.0, self.breaker.open_until_s - now_s)
        return Unavailable(f"{self.name} is down {self.breaker.words()}: {self.last_fault}", retry_after_s=back_in_s)


def _average(old: float | None, new: float) -> float:
    return new if old is None else old + NEWEST * (new - old)
