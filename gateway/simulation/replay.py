"""A whole log through two worlds at once: the policy in force and the candidate. Pure, and in bounded memory."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from gateway.configuration.load import Config
from gateway.served_log.line import Line
from gateway.served_log.seal import Seal
from gateway.simulation.asks import Asks
from gateway.simulation.pace import GUESS, Pace, Survey
from gateway.simulation.station import Station
from gateway.simulation.tally import Comparison
from gateway.simulation.world import Result, World
from policies.types import EngineState


class Replay:
    """Feed it lines in the order in which their requests came, then `finish` it."""

    def __init__(self, baseline: World, candidate: World) -> None:
        self.baseline, self.candidate = baseline, candidate
        self.comparison = Comparison()
        self.first: datetime | None = None
        self.last: datetime | None = None
        self._pending: deque[tuple[Line, Result, Result]] = deque()

    def add(self, line: Line) -> None:
        came_s = line.received.timestamp()
        self.first, self.last = self.first or line.received, line.received
        self._pending.append((line, self.baseline.serve(line, came_s), self.candidate.serve(line, came_s)))
        self._count()

    def finish(self) -> None:
        self.baseline.finish()
        self.candidate.finish()
        self._count()

    @property
    def span_s(self) -> float:
        """Seconds from the first request until the last is spoken, in whichever world that takes longer."""
        if self.first is None or self.last is None:
            return 0.0
        ends = [one.until_s for world in (self.baseline, self.candidate) for one in world.stations.values()]
        return max(self.last.timestamp(), *ends) - self.first.timestamp()

    def _count(self) -> None:
        while self._pending and self._pending[0][1].done and self._pending[0][2].done:
            self.comparison.add(*self._pending.popleft())


def build_world(
    config: Config,
    idle: Mapping[str, EngineState],
    survey: Survey,
    assumed: Mapping[str, Pace],
    seals: Mapping[str, Seal],
) -> World:
    """The world of one configuration. `idle`: its enabled engines, with nothing to do; `assumed`: paces by engine, in
    place of those that were measured."""
    stations = {}
    for name, state in idle.items():
        if config.engines[name].slots is None and name in survey.slots:
            state = replace(state, slots=survey.slots[name])  # as the engine said of itself once it had started
        if name in assumed and name not in survey.slots:
            state = replace(state, state="up", reason="")  # never seen; whoever assumes its pace means to have it
        stations[name] = Station(state, assumed.get(name) or survey.pace(name) or GUESS)
    return World(config.policy, stations, Asks(config, seals))


def in_order(lines: Iterable[Line], disorder_s: float) -> Iterator[Line]:
    """Lines by the time when their requests came; they are written as those end. `disorder_s`: how far back in time
    they go at most."""
    held: list[tuple[float, int, Line]] = []
    latest_s = 0.0
    for count, line in enumerate(lines):
        came_s = line.received.timestamp()
        latest_s = max(latest_s, came_s)
        heapq.heappush(held, (came_s, count, line))
        while held and held[0][0] < latest_s - disorder_s:
            yield heapq.heappop(held)[2]
    while held:
        yield heapq.heappop(held)[2]
