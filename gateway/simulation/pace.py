"""How quick each engine was, from the attempts of a log: what a simulation takes it to be everywhere.

Attempts of requests that found the engine with a free slot are measured, because the time of an attempt has its wait in
it, and waits are what is simulated. Where no request found one free, all of them are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from gateway.served_log.line import Line, Tried
from gateway.simulation.quantiles import Quantiles


@dataclass(frozen=True, slots=True)
class Pace:
    """One engine's. `first_audio_s` is the engine's own, which policies look at; `heard_s` is when a listener has some,
    which is later where a clause is released once it is finished. Both without the wait for a slot."""

    first_audio_s: float
    real_time_factor: float
    heard_s: float
    source: Literal["measured", "assumed", "guessed"] = "measured"

    def held_s(self, audio_s: float) -> float:
        """Seconds that a slot is held for so many seconds of audio."""
        return max(self.heard_s, self.real_time_factor * audio_s)


#: of an engine that nobody has measured and for which nothing was assumed
GUESS = Pace(first_audio_s=0.5, real_time_factor=0.5, heard_s=0.5, source="guessed")


@dataclass(slots=True)
class _Attempts:
    """Sums over one engine's attempts that ended well."""

    work_s: float = 0.0
    audio_s: float = 0.0
    first_audio: Quantiles = field(default_factory=Quantiles)
    heard: Quantiles = field(default_factory=Quantiles)

    def add(self, tried: Tried, heard_s: float | None) -> None:
        if tried.ended_s is None or not tried.audio_s or tried.first_audio_s is None:
            return
        self.work_s += tried.ended_s - tried.started_s
        self.audio_s += tried.audio_s
        self.first_audio.add(tried.first_audio_s)
        if heard_s is not None:
            self.heard.add(heard_s)

    @property
    def pace(self) -> Pace | None:
        first_audio_s, heard_s = self.first_audio.at(0.5), self.heard.at(0.5)
        if first_audio_s is None:
            return None
        return Pace(first_audio_s, self.work_s / self.audio_s, first_audio_s if heard_s is None else heard_s)


class Disorder:
    """How far back in time (seconds) the lines of one file go at most: they are written as requests end."""

    def __init__(self) -> None:
        self.seconds = self._latest_s = 0.0

    def add(self, line: Line) -> None:
        came_s = line.received.timestamp()
        self._latest_s = max(self._latest_s, came_s)
        self.seconds = max(self.seconds, self._latest_s - came_s)


@dataclass(slots=True)
class Survey:
    """What must be known of whole logs before they are replayed."""

    requests: int = 0
    slots: dict[str, int] = field(default_factory=dict)  # the latest known, of every engine that is named
    _free: defaultdict[str, _Attempts] = field(default_factory=lambda: defaultdict(_Attempts))
    _all: defaultdict[str, _Attempts] = field(default_factory=lambda: defaultdict(_Attempts))

    def add(self, line: Line) -> None:
        self.requests += 1
        for engine, then in line.board.items():
            self.slots[engine] = then.slots
        heard = False
        for tried in line.attempts:
            if tried.error:
                continue
            heard_s = None
            if not heard and line.first_audio_s is not None:
                heard_s, heard = max(0.0, line.first_audio_s - tried.started_s), True
            self._all[tried.engine].add(tried, heard_s)
            found = line.board.get(tried.engine)
            if found is not None and found.busy < found.slots:
                self._free[tried.engine].add(tried, heard_s)

    def pace(self, engine: str) -> Pace | None:
        """None for an engine that never spoke well."""
        for attempts in (self._free.get(engine), self._all.get(engine)):
            if attempts is not None and (pace := attempts.pace) is not None:
                return pace
        return None
