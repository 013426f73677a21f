"""Recorded requests and engines, made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.served_log.line import VERSION, Asked, EngineThen, Line, Tried
from gateway.simulation.pace import Pace
from gateway.simulation.station import Station
from gateway.simulation.world import World
from policies.policy import Policy
from policies.types import Ask, EngineState

BEGAN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
#: a second of work for a second of audio, the first of it at once
SLOW = Pace(first_audio_s=0.1, real_time_factor=1.0, heard_s=0.5)


def line(
    name: str = "1",
    at_s: float = 0.0,
    *,
    chars: int = 10,
    audio_s: float = 5.0,
    clip: str = "",
    board: Mapping[str, EngineThen] | None = None,
    attempts: tuple[Tried, ...] = (),
    **fields: Any,
) -> Line:
    """A request that came so many seconds after the first, and was spoken by `a` unless its fields say otherwise."""
    asked = {one: fields.pop(one) for one in list(fields) if one in Asked.__struct_fields__}
    ask = Asked(
        chars=chars, languages=("en",), audio_s=audio_s, text_hash=f"0-{chars:016x}", clip=clip or name, **asked
    )
    return Line(
        **{
            "v": VERSION,
            "id": name,
            "received": BEGAN + timedelta(seconds=at_s),
            "ask": ask,
            "board": dict(board or {}),
            "engine": "a",
            "audio_s": audio_s,
            "attempts": attempts,
            **fields,
        }
    )


def tried(engine: str, started_s: float = 0.0, ended_s: float = 1.0, error: str = "", **fields: Any) -> Tried:
    return Tried(engine=engine, started_s=started_s, ended_s=ended_s, error=error, **fields)


def down(slots: int = 1) -> EngineThen:
    return EngineThen(state="down", slots=slots)


def policy(*rules: Mapping[str, Any], **fields: Any) -> Policy:
    given = rules or ({"name": "all", "use": ["a", "b"]},)
    return Policy.model_validate({"version": 1, "rules": list(given), **fields})


def ask_of(line: Line) -> Ask:
    ask = line.ask
    return Ask(ask.chars, ask.languages, ask.audio_s, text_hash=ask.chars, tags=frozenset(ask.tags))


def world(by: Policy | None = None, *, slots: int = 1, queue: int = 8, pace: Pace = SLOW, **engines: object) -> World:
    """Engines `a`, and `b` that costs: one slot each, a second of work for a second of audio."""
    states = {
        name: EngineState(name, slots=slots, queue=queue, cost_per_1k_chars=cost)
        for name, cost in (("a", 0.0), ("b", 2.0))
    }
    return World(by or policy(), {name: Station(state, pace) for name, state in states.items()}, ask_of)
