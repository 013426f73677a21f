"""What many results come to: counts, times and costs of one policy, and what differs between two.

Knows nothing about how results come about, nor how they are shown. Its size depends on engines and rules, not on how
many requests there were.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.served_log.line import Line
from gateway.simulation.quantiles import Quantiles
from gateway.simulation.world import Result

#: ids of requests shown for each kind of change
EXAMPLES = 3


@dataclass(slots=True)
class EngineTally:
    """One engine. `passed_over`: why it was not heard though the plan prefers it, and how often."""

    spoken: int = 0
    hits: int = 0
    waits: Quantiles = field(default_factory=Quantiles)
    first_audio: Quantiles = field(default_factory=Quantiles)
    passed_over: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Tally:
    """One policy, or what was recorded."""

    requests: int = 0
    hits: int = 0
    cost: float = 0.0
    degraded: int = 0
    waits: Quantiles = field(default_factory=Quantiles)
    first_audio: Quantiles = field(default_factory=Quantiles)  # of what was not heard from the cache
    rules: Counter[str] = field(default_factory=Counter)
    unserved: Counter[str] = field(default_factory=Counter)  # by why
    engines: defaultdict[str, EngineTally] = field(default_factory=lambda: defaultdict(EngineTally))

    def add(self, result: Result) -> None:
        self.requests += 1
        self.rules[result.rule] += 1
        self.cost += result.cost
        if result.degraded:
            self.degraded += 1
            self.engines[result.degraded].passed_over[result.degraded_code] += 1
        if not result.engine:
            self.unserved[result.why] += 1
        elif result.hit:
            self.hits += 1
            self.engines[result.engine].hits += 1
        else:
            engine = self.engines[result.engine]
            engine.spoken += 1
            for mine in (self, engine):
                mine.waits.add(result.wait_s)
                mine.first_audio.add(result.first_audio_s)


class Change(NamedTuple):
    """Another engine, or nobody (empty), and the rules that decided."""

    from_engine: str
    from_rule: str
    to_engine: str
    to_rule: str


@dataclass(slots=True)
class Comparison:
    """The policy in force and the candidate over the same requests, and how near the first comes to the record."""

    recorded: Tally = field(default_factory=Tally)
    baseline: Tally = field(default_factory=Tally)
    candidate: Tally = field(default_factory=Tally)
    changed: int = 0
    other_rule: int = 0  # the same engine, by another rule
    changes: Counter[Change] = field(default_factory=Counter)
    examples: dict[Change, list[str]] = field(default_factory=dict)
    compared: int = 0  # requests of which the record tells who was heard, or that nobody was
    as_recorded: int = 0

    def add(self, line: Line, baseline: Result, candidate: Result) -> None:
        recorded = recorded_result(line)
        self.recorded.add(recorded)
        self.baseline.add(baseline)
        self.candidate.add(candidate)
        if recorded.engine or line.outcome != "cancelled":  # whoever left before the first sound has heard nobody
            self.compared += 1
            self.as_recorded += recorded.engine == baseline.engine
        if baseline.engine == candidate.engine:
            self.other_rule += baseline.rule != candidate.rule
            return
        self.changed += 1
        change = Change(baseline.engine, baseline.rule, candidate.engine, candidate.rule)
        self.changes[change] += 1
        if len(examples := self.examples.setdefault(change, [])) < EXAMPLES:
            examples.append(line.id)


def recorded_result(line: Line) -> Result:
    """What the log says became of a request. Waits are not in it."""
    engine, _, code = line.degraded.partition(": ")
    return Result(
        engine=line.engine,
        rule=line.rule,
        why="" if line.engine else line.error or line.outcome,
        hit=line.cache in ("hit", "follow"),
        first_audio_s=line.first_audio_s or 0.0,
        cost=line.cost,
        degraded=engine,
        degraded_code=code,
        done=True,
    )
