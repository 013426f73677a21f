"""One policy and its engines in virtual time: recorded requests come, are decided, wait, are spoken.

Taken from the record: when a request came, what it asked, how much audio it was, the health of every engine at that
moment, which engines failed it, and whether a finished clip was there. Simulated: who is busy, and for how long.

    health    as recorded, whatever the policy does: an engine that was down is down
    failures  an engine that failed a request fails it again, after the same time; for all others it does not fail
    cache     what was recorded as spoken is spoken. What was recorded as heard from a clip is heard from one if the
              plan may take the clip of that engine, or of the one that has spoken it in the simulation instead
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engines.errors import SpeechError
from gateway.no_engine import no_engine
from gateway.record import HEDGED
from gateway.served_log.line import Line
from gateway.simulation.station import Station
from policies.decide import cacheable, decide, degraded
from policies.policy import Policy
from policies.types import Ask, Plan, Snapshot

#: codes of attempts that were no failures of the engine: full, which is simulated, or outrun
NO_FAILURE = frozenset({"busy", HEDGED})
#: clips whose maker in the simulation is not the recorded one: so many are remembered
MOVED = 200_000


@dataclass(slots=True)
class Result:
    """What became of one request. `engine` is the one that was heard; empty: nobody, and `why` has the code."""

    engine: str = ""
    rule: str = ""
    why: str = ""
    hit: bool = False  # heard from the cache
    wait_s: float = 0.0
    first_audio_s: float = 0.0  # since the request came
    cost: float = 0.0
    degraded: str = ""  # the engine that should have been heard
    degraded_code: str = ""  # and why it was not
    done: bool = False


@dataclass(slots=True)
class _Trip:
    """One request on its way through the steps of its plan."""

    line: Line
    ask: Ask
    plan: Plan
    came_s: float
    result: Result
    steps: deque[str]
    failed: list[tuple[str, str]] = field(default_factory=list)  # engine and code

    @property
    def is_over(self) -> bool:
        """Did an engine say that no other may try."""
        code = self.failed[-1][1] if self.failed else ""
        return code == "invalid_request" or (code == "refused" and not self.plan.terms.allow_refused_fallback)


class World:
    """Serves requests in the order of their times, in seconds. `ask_of` raises SpeechError for one that is refused."""

    def __init__(self, policy: Policy, stations: Mapping[str, Station], ask_of: Callable[[Line], Ask]) -> None:
        self.policy, self.stations, self._ask_of = policy, stations, ask_of
        self._began = False
        self._later: list[tuple[float, int, _Trip]] = []  # a heap: when an engine will have failed a request
        self._count = 0
        self._moved: OrderedDict[str, str] = OrderedDict()  # clip -> who has spoken it in the simulation

    def serve(self, line: Line, now_s: float) -> Result:
        """A request comes. Its result is done at once, or once later requests, or `finish`, have let time pass."""
        self._begin(line, now_s)
        self._pass_until(now_s)
        result = Result()
        try:
            ask = self._ask_of(line)
        except SpeechError as error:
            result.why, result.done = error.code, True
            return result
        plan = decide(ask, self._snapshot(line, now_s), self.policy)
        result.rule = plan.rule
        if holder := self._clip(line, plan):
            result.engine, result.hit = holder, True
            self._degrade(result, plan, [])
            result.done = True
        elif plan.terms.cache == "only":
            result.why, result.done = "not in the cache", True
        else:
            steps = deque(step.engine for step in plan.steps)
            self._try(_Trip(line, ask, plan, now_s, result, steps), now_s)
        return result

    def finish(self) -> None:
        """No more requests come: those that are still on their way end."""
        while self._later:
            self._pass_until(self._later[0][0])

    # --- what a decision is made from ---

    def _begin(self, line: Line, now_s: float) -> None:
        """What was measured when the log began was measured before it."""
        if not self._began:
            self._began = True
            for name, then in line.board.items():
                if then.first_audio_s is not None and name in self.stations:
                    self.stations[name].known(now_s)

    def _snapshot(self, line: Line, now_s: float) -> Snapshot:
        for station in self.stations.values():
            station.advance(now_s)
        then = line.board
        views = {name: station.view(now_s, then.get(name)) for name, station in self.stations.items()}
        return Snapshot(line.received, views)

    def _clip(self, line: Line, plan: Plan) -> str:
        """The engine whose clip answers; empty when none does."""
        if line.cache not in ("hit", "follow") or line.ask.cache_bypass or plan.terms.cache == "bypass":
            return ""
        holder = self._moved.get(line.ask.clip, line.engine)
        return holder if holder in cacheable(plan) else ""

    # --- what becomes of it ---

    def _pass_until(self, now_s: float) -> None:
        while self._later and self._later[0][0] <= now_s:
            then_s, _, trip = heapq.heappop(self._later)
            self._try(trip, then_s)

    def _try(self, trip: _Trip, now_s: float) -> None:
        """Go to the engines that are left, until one speaks, or one takes its time to fail."""
        allowed_s = trip.plan.terms.first_audio_ms / 1000
        while trip.steps and not trip.is_over:
            engine = trip.steps.popleft()
            station = self.stations[engine]
            station.advance(now_s)
            if station.full or station.wait_s(now_s) > allowed_s:
                trip.failed.append((engine, "busy"))
                continue
            if failure := _failure(trip.line, engine):
                code, took_s = failure
                trip.failed.append((engine, code))
                ends_s = now_s + station.enter(now_s, took_s) + took_s
                self._count += 1
                heapq.heappush(self._later, (ends_s, self._count, trip))
                return
            self._speak(trip, station, now_s)
            return
        self._give_up(trip)

    def _speak(self, trip: _Trip, station: Station, now_s: float) -> None:
        result, engine = trip.result, station.idle.name
        wait_s = station.enter(now_s, station.pace.held_s(trip.line.audio_s or trip.ask.audio_s))
        result.engine, result.wait_s = engine, wait_s
        result.first_audio_s = now_s - trip.came_s + wait_s + station.pace.heard_s
        result.cost = trip.ask.chars * station.idle.cost_per_1k_in(trip.ask.languages) / 1000
        self._degrade(result, trip.plan, trip.failed)
        self._remember(trip.line, engine)
        result.done = True

    def _give_up(self, trip: _Trip) -> None:
        codes = [code for _, code in trip.failed] or [no_engine(trip.plan, []).code]
        trip.result.why = "busy" if "busy" in codes else codes[-1]
        trip.result.done = True

    def _degrade(self, result: Result, plan: Plan, failed: list[tuple[str, str]]) -> None:
        named = degraded(plan, result.engine, failed)
        if named:
            result.degraded = named.partition(":")[0]
            codes = dict(failed) | {skip.engine: skip.code for skip in plan.skipped}
            result.degraded_code = codes[result.degraded]

    def _remember(self, line: Line, engine: str) -> None:
        """Whose clip there is now."""
        if line.cache == "bypass":
            return
        self._moved.pop(line.ask.clip, None)
        if engine != line.engine:
            self._moved[line.ask.clip] = engine
            if len(self._moved) > MOVED:
                self._moved.popitem(last=False)


def _failure(line: Line, engine: str) -> tuple[str, float] | None:
    """The code with which the engine failed this request, and the seconds it took; None when it did not, or not before
    it was heard."""
    if engine == line.engine:
        return None
    tries = [one for one in line.attempts if one.engine == engine and one.error not in NO_FAILURE]
    if not tries or not all(one.error for one in tries):
        return None
    return tries[-1].error, sum(one.ended_s - one.started_s for one in tries if one.ended_s is not None)
