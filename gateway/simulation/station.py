"""One engine in virtual time: so many slots, a line before them, and a known time for each speech.

Who comes is told at once when its turn will be, because first come is first served and nobody is cut short. Time is in
seconds and never goes back.
"""

from __future__ import annotations

import heapq
from collections import deque

from gateway.health.row import STALE_S
from gateway.served_log.line import EngineThen
from gateway.simulation.pace import Pace
from policies.types import EngineState


class Station:
    """`idle` is the engine as its configuration has it, without anything to do."""

    def __init__(self, idle: EngineState, pace: Pace) -> None:
        self.idle, self.pace = idle, pace
        self.busy_s = 0.0  # slot-seconds
        self.peak = 0.0  # the highest load
        self.until_s = 0.0  # when the last speech ends
        self._slots_free_s = [0.0] * idle.slots  # a heap: since or from when each one is
        self._waiting: deque[tuple[float, float]] = deque()  # when it begins, when it ends
        self._speaking: list[float] = []  # a heap: when it ends
        self._measured_s: float | None = None
        self._view: EngineState | None = None
        self._view_of: tuple[object, ...] = ()

    def advance(self, now_s: float) -> None:
        """Let time pass: who waited begins, who spoke ends."""
        while self._waiting and self._waiting[0][0] <= now_s:
            heapq.heappush(self._speaking, self._waiting.popleft()[1])
        while self._speaking and self._speaking[0] <= now_s:
            self._measured_s = heapq.heappop(self._speaking)

    @property
    def busy(self) -> int:
        return len(self._speaking)

    @property
    def queued(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return self.busy >= self.idle.slots and self.queued >= self.idle.queue

    def wait_s(self, now_s: float) -> float:
        """Seconds until the turn of one who comes now."""
        return max(0.0, self._slots_free_s[0] - now_s)

    def enter(self, now_s: float, held_s: float) -> float:
        """Take a place, and a slot for so many seconds once it is free; returns the seconds of waiting."""
        wait_s = self.wait_s(now_s)
        begins_s = now_s + wait_s
        heapq.heapreplace(self._slots_free_s, begins_s + held_s)
        self._waiting.append((begins_s, begins_s + held_s))
        self.busy_s += held_s
        self.until_s = max(self.until_s, begins_s + held_s)
        self.advance(now_s)
        self.peak = max(self.peak, (self.busy + self.queued) / self.idle.slots)
        return wait_s

    def known(self, now_s: float) -> None:
        """It has been measured before the simulation began."""
        self._measured_s = now_s

    def view(self, now_s: float, then: EngineThen | None) -> EngineState:
        """As a policy sees it now. `then`: as it was when this was recorded, from which its health comes, and how quick
        it was found to be; but that it was measured of late must be so in the simulation."""
        first_audio_s = real_time_factor = None
        if self._measured_s is not None:
            fresh = now_s - self._measured_s <= STALE_S
            measured = then is not None and (then.first_audio_s if fresh else then.real_time_factor) is not None
            real_time_factor = then.real_time_factor if then and measured else self.pace.real_time_factor
            if fresh:
                first_audio_s = then.first_audio_s if then and measured else self.pace.first_audio_s
        state = then.state if then else self.idle.state
        of = (state, self.busy, self.queued, self.wait_s(now_s), first_audio_s, real_time_factor)
        if self._view is None or of != self._view_of:
            idle, self._view_of = self.idle, of
            self._view = EngineState(
                name=idle.name,
                state=state,
                busy=self.busy,
                queued=self.queued,
                slots=idle.slots,
                queue=idle.queue,
                wait_s=of[3],
                first_audio_s=first_audio_s,
                real_time_factor=real_time_factor,
                cost_per_1k_chars=idle.cost_per_1k_chars,
                reason=idle.reason if state == idle.state else "",
                info=idle.info,
            )
        return self._view
