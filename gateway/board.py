"""The board: the only mutable state of health and load, one row per engine.

The fleet writes what an engine is (starting, up, down, not installed), the guards write what it does (slots, faults,
measurements), and `snapshot` gives policies an immutable view of both. Knows nothing about requests or engines' code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from engines.contract import EngineInfo
from engines.errors import SpeechError, Unavailable
from engines.slots import Slots
from gateway.clock import Clock
from policies.types import EngineState, Snapshot, State

#: faults in a row that open the breaker
FAULTS_TO_OPEN = 5
#: seconds an open breaker waits before one probe is let through: doubled for each probe that fails
OPEN_S, LONGEST_OPEN_S = 10.0, 120.0
#: seconds a throttled engine is left alone when its service does not say
COOL_DOWN_S = 15.0
#: weight of the newest measurement in the running averages
NEWEST = 0.3
#: a measurement older than this (seconds) is forgotten, so that a slow spell does not exclude an engine for ever
STALE_S = 60.0

#: a snapshot may be used again for this long (seconds): its `now` only serves the hours of rules, and people
SAME_FOR_S = 1.0


@dataclass(slots=True)
class Row:
    """What is known about one engine now."""

    name: str
    slots: Slots
    cost_per_1k_chars: float = 0.0
    info: EngineInfo | None = None
    state: State = "starting"
    reason: str = "starting"
    since: datetime | None = None
    faults: int = 0  # in a row
    open_until_s: float = 0.0  # 0: closed; in the past: one probe may go through
    open_s: float = OPEN_S
    probing: bool = False
    last_fault: str = ""
    cooling_until_s: float = 0.0
    first_audio_s: float | None = None
    real_time_factor: float | None = None
    measured_at_s: float = -math.inf
    # the view made last, and what it was made from
    view: EngineState | None = field(default=None, repr=False)
    view_load: tuple[int, int] = (0, 0)
    view_until_s: float = 0.0


class Watcher(Protocol):
    """Hears of every measurement, of which a row keeps an average only."""

    def waited(self, engine: str, wait_s: float) -> None:
        """An attempt has its slot, after so many seconds."""

    def worked(self, engine: str, work_s: float, audio_s: float) -> None:
        """A clause of so many seconds was spoken well, in so many seconds of work."""


class Board:
    """Rows by engine name. All methods are quick and synchronous; used from one event loop."""

    def __init__(self, clock: Clock, watchers: list[Watcher] | None = None) -> None:
        self._clock = clock
        self.watchers: list[Watcher] = [] if watchers is None else watchers
        self._rows: dict[str, Row] = {}
        self._latest = Snapshot(clock.now(), {})
        self._latest_views: list[EngineState] = []
        self._latest_s = -math.inf

    def add(self, name: str, slots: Slots, *, cost_per_1k_chars: float = 0.0, info: EngineInfo | None = None) -> None:
        since = self._clock.now()
        self._rows[name] = Row(name, slots, cost_per_1k_chars=cost_per_1k_chars, info=info, since=since)

    def apart(self) -> Board:
        """An empty board beside this one: for engines that are not, or no longer, in rotation."""
        return Board(self._clock, self.watchers)

    def remove(self, name: str) -> Row:
        """Take an engine out of rotation; its row may be put on another board."""
        return self._rows.pop(name)

    def put(self, row: Row) -> Row | None:
        """Take in a row of another board; returns the one of that name whose place it takes."""
        displaced = self._rows.get(row.name)
        self._rows[row.name] = row
        return displaced

    def set_cost(self, name: str, cost_per_1k_chars: float) -> None:
        row = self._rows[name]
        row.cost_per_1k_chars, row.view = cost_per_1k_chars, None

    # --- what the fleet says ---

    def set_state(self, name: str, state: State, reason: str = "") -> None:
        """The life of the engine itself. Coming up closes its breaker: a new start is a new chance."""
        row = self._rows[name]
        if row.state != state:
            row.since = self._clock.now()
        if state == "up" and row.state != "up":
            row.faults, row.open_until_s, row.open_s, row.probing = 0, 0.0, OPEN_S, False
        row.state, row.reason, row.view = state, reason, None

    def set_info(self, name: str, info: EngineInfo) -> None:
        row = self._rows[name]
        if row.info != info:
            row.info, row.view = info, None

    # --- what the guards say ---

    def admit(self, name: str) -> bool:
        """Let one attempt pass the breaker; True when it is the one probe of a half-open breaker.

        Raises Unavailable while the breaker is open, or half open with its probe on the way.
        """
        row = self._rows[name]
        if not row.open_until_s:
            return False
        if row.probing or self._clock.monotonic() < row.open_until_s:
            raise Unavailable(f"{name} is down after {row.faults} faults: {row.last_fault}")
        row.probing, row.view = True, None
        return True

    def give_back_probe(self, name: str) -> None:
        """The probe ended without a verdict (the client left, the text was refused): the next one may try."""
        row = self._rows[name]
        row.probing, row.view = False, None

    def succeeded(self, name: str) -> None:
        row = self._rows[name]
        if row.faults or row.open_until_s:
            row.faults, row.open_until_s, row.open_s, row.probing = 0, 0.0, OPEN_S, False
            row.since, row.view = self._clock.now(), None

    def failed(self, name: str, error: SpeechError, *, probe: bool = False) -> None:
        """Take one error into account, as its class says: nothing, a cool-down, or a fault.

        An attempt that passed before the breaker opened may fail after it: that is no news, and no verdict on the
        probe that may be on its way.
        """
        row, now_s = self._rows[name], self._clock.monotonic()
        row.view = None
        if probe:
            row.probing = False  # whatever the verdict, and also when the error is none
        if error.health == "cools":
            row.cooling_until_s = now_s + (error.retry_after_s or COOL_DOWN_S)
            row.since, row.last_fault = self._clock.now(), error.message
        if error.health != "hurt":
            return
        if row.open_until_s and not probe:
            return
        row.faults += 1
        row.last_fault = error.message
        if row.open_until_s:  # the probe failed: stay away twice as long
            row.open_s = min(row.open_s * 2, LONGEST_OPEN_S)
        elif row.faults < FAULTS_TO_OPEN:
            return
        else:
            row.since = self._clock.now()
        row.open_until_s = now_s + row.open_s

    def measured(self, name: str, *, first_audio_s: float, work_s: float, audio_s: float) -> None:
        """A clause was spoken well: `work_s` is the time the engine took, waiting for the listener left out."""
        row, now_s = self._rows[name], self._clock.monotonic()
        fresh = now_s - row.measured_at_s > STALE_S
        row.first_audio_s = _average(None if fresh else row.first_audio_s, first_audio_s)
        if audio_s > 0:
            row.real_time_factor = _average(None if fresh else row.real_time_factor, work_s / audio_s)
        row.measured_at_s, row.view = now_s, None
        for watcher in self.watchers:
            watcher.worked(name, work_s, audio_s)

    def waited(self, name: str, wait_s: float) -> None:
        """An attempt waited so long for its slot, in our line and in the engine's own."""
        for watcher in self.watchers:
            watcher.waited(name, wait_s)

    # --- what policies see ---

    def snapshot(self) -> Snapshot:
        """All rows now. The same object as before when nothing has changed for less than a second, so that what
        follows from it need not be worked out again; its `now` may be that much old."""
        now_s = self._clock.monotonic()
        views = [self._view(row, now_s) for row in self._rows.values()]
        if now_s - self._latest_s < SAME_FOR_S and views == self._latest_views:
            return self._latest
        self._latest_s, self._latest_views = now_s, views
        self._latest = Snapshot(self._clock.now(), dict(zip(self._rows, views, strict=True)))
        return self._latest

    def _view(self, row: Row, now_s: float) -> EngineState:
        """The row as policies see it; made anew only when it changed or a waiting time has run out."""
        load = (row.slots.busy, row.slots.queued)
        if row.view is not None and row.view_load == load and now_s < row.view_until_s:
            return row.view
        state, reason = row.state, row.reason
        until_s = math.inf
        if state == "up" and row.open_until_s and (row.probing or now_s < row.open_until_s):
            state, reason, until_s = "down", f"after {row.faults} faults: {row.last_fault}", row.open_until_s
        elif state == "up" and now_s < row.cooling_until_s:
            state, reason, until_s = "cooling", row.last_fault, row.cooling_until_s
        fresh = now_s - row.measured_at_s <= STALE_S
        row.view_load, row.view_until_s = load, min(until_s, row.measured_at_s + STALE_S if fresh else math.inf)
        row.view = EngineState(
            name=row.name,
            state=state,
            busy=load[0],
            queued=load[1],
            slots=row.slots.limit,
            queue=row.slots.queue,
            first_audio_s=row.first_audio_s if fresh else None,
            real_time_factor=row.real_time_factor if fresh else None,
            cost_per_1k_chars=row.cost_per_1k_chars,
            reason=reason,
            since=row.since,
            info=row.info,
        )
        return row.view


def _average(old: float | None, new: float) -> float:
    return new if old is None else old + NEWEST * (new - old)
