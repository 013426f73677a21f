"""What a replay has found, as JSON's types: for programs, and for `gateway.simulation.show` to make words of."""

from __future__ import annotations

from typing import Any

from gateway.simulation.quantiles import Quantiles
from gateway.simulation.replay import Replay
from gateway.simulation.tally import Comparison, EngineTally, Tally
from gateway.simulation.world import World


def report(replay: Replay) -> dict[str, Any]:
    """Seconds to the millisecond, shares in percent. An engine's or a rule's empty name: nobody, no rule."""
    found = replay.comparison
    return {
        "requests": found.candidate.requests,
        "first": None if replay.first is None else replay.first.isoformat(),
        "last": None if replay.last is None else replay.last.isoformat(),
        "fidelity": _fidelity(found),
        "changes": _changes(found),
        "cost_difference": round(found.candidate.cost - found.baseline.cost, 6),
        "recorded": _tally(found.recorded),
        "baseline": _world(found.baseline, replay.baseline, replay.span_s),
        "candidate": _world(found.candidate, replay.candidate, replay.span_s),
    }


def _fidelity(found: Comparison) -> dict[str, Any]:
    """How near the simulated policy in force comes to what was recorded."""
    return {
        "compared": found.compared,
        "as_recorded": found.as_recorded,
        "percent": _percent(found.as_recorded, found.compared),
    }


def _changes(found: Comparison) -> dict[str, Any]:
    return {
        "requests": found.changed,
        "percent": _percent(found.changed, found.candidate.requests),
        "other_rule_same_engine": found.other_rule,
        "kinds": [
            {
                "from": {"engine": change.from_engine, "rule": change.from_rule},
                "to": {"engine": change.to_engine, "rule": change.to_rule},
                "requests": count,
                "examples": found.examples[change],
            }
            for change, count in found.changes.most_common()
        ],
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "spoken": tally.requests - tally.hits - tally.unserved.total(),
        "from_cache": tally.hits,
        "degraded": tally.degraded,
        "unserved": dict(tally.unserved.most_common()),
        "cost": round(tally.cost, 6),
        "first_audio_s": _quantiles(tally.first_audio),
    }


def _world(tally: Tally, world: World, span_s: float) -> dict[str, Any]:
    names = [rule.name for rule in world.policy.rules]
    return {
        **_tally(tally),
        "wait_s": _quantiles(tally.waits),
        "rules": {name: tally.rules[name] for name in (*names, "") if name or tally.rules[""]},
        "never_decided": [name for name in names if not tally.rules[name]],
        "engines": {name: _engine(tally.engines[name], tally, world, name, span_s) for name in world.stations},
    }


def _engine(mine: EngineTally, tally: Tally, world: World, name: str, span_s: float) -> dict[str, Any]:
    station = world.stations[name]
    return {
        "spoken": mine.spoken,
        "from_cache": mine.hits,
        "percent": _percent(mine.spoken + mine.hits, tally.requests),
        "slots": station.idle.slots,
        "busy_s": round(station.busy_s, 3),
        "load_average": round(station.busy_s / station.idle.slots / span_s, 4) if span_s else 0.0,
        "load_peak": round(station.peak, 4),
        "wait_s": _quantiles(mine.waits),
        "first_audio_s": _quantiles(mine.first_audio),
        "passed_over": dict(mine.passed_over.most_common()),
        "pace": {
            "source": station.pace.source,
            "real_time_factor": round(station.pace.real_time_factor, 4),
            "first_audio_s": round(station.pace.first_audio_s, 4),
            "heard_s": round(station.pace.heard_s, 4),
        },
    }


def _quantiles(found: Quantiles) -> dict[str, float | None]:
    values = {name: found.at(part) for name, part in (("p50", 0.5), ("p95", 0.95))}
    return {name: None if value is None else round(value, 3) for name, value in values.items()}


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 2) if whole else None
