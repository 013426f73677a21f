"""What a line of served.jsonl holds: one type, from which lines are written and into which they are read.

All that a decision was made from but the text, all that was decided, and what became of it. No message of an error is
in it, only codes: a message may quote the text. Fields at their default are left out. Knows nothing about files.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from engines.contract import Gender, Markup
from gateway.prepared import Prepared
from gateway.record import Attempt, CacheUse, Outcome, Served
from gateway.request import Format
from gateway.served_log.seal import Seal
from policies.types import EngineState, Plan, SkipCode, Snapshot, State

#: of the form below; a reader refuses lines of another
VERSION = 1
#: what most attempts cost: a number is left out only where it is the very object that is the field's default
_FREE = 0.0


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The `Ask`, as far as the configuration does not say it. Seconds are estimates."""

    chars: int
    languages: tuple[str, ...]
    audio_s: float
    longest_clause: int = 0
    voice: str = ""
    voice_asked: bool = False
    gender: Gender = ""
    only: str = ""
    model: str = "auto"
    format: Format = "mp3"
    stream: bool = True
    markup: Markup = "plain"
    key: str = ""
    allowed_engines: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    deadline_ms: int | None = None
    cache_bypass: bool = False  # the client wanted it made anew
    text_hash: str  # sealed: see gateway/served_log/seal.py
    clip: str  # equal for requests that one clip of an engine answers


class EngineThen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One engine when the request was decided, in the words of `--board`."""

    state: State = "up"
    busy: int = 0
    queued: int = 0
    slots: int
    wait_s: float | None = None
    first_audio_s: float | None = None
    real_time_factor: float | None = None


class Tried(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt. `started_s` since the request came in, `first_audio_s` since the attempt started."""

    engine: str
    clause: int = 0
    started_s: float
    first_audio_s: float | None = None
    ended_s: float | None = None
    audio_s: float = 0.0
    error: str = ""
    cost: float = _FREE


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request, from its arrival to its end."""

    v: int
    id: str
    received: datetime
    ask: Asked
    board: dict[str, EngineThen]
    rule: str = ""
    preference: tuple[str, ...] = ()  # the rule's whole order
    skipped: dict[str, SkipCode] = {}
    cache: CacheUse = "miss"
    engine: str = ""  # the one heard first
    voice: str = ""  # its own name of it
    attempts: tuple[Tried, ...] = ()
    degraded: str = ""  # `engine: code` of the one that should have been heard
    audio_s: float = 0.0
    first_audio_s: float | None = None
    total_s: float = 0.0
    cost: float = 0.0
    outcome: Outcome = "complete"
    error: str = ""
    text: str | None = None


def asked(prepared: Prepared, seal: Seal) -> Asked:
    """What a policy may look at of a request; its text only as a sealed hash."""
    ask, request = prepared.ask, prepared.request
    return Asked(
        chars=ask.chars,
        languages=ask.languages,
        audio_s=_ms(ask.audio_s),
        longest_clause=ask.longest_clause,
        voice=ask.voice,
        voice_asked=ask.voice_asked,
        gender=ask.gender,
        only=ask.only,
        model=ask.model,
        format=request.format,
        stream=ask.stream,
        markup=ask.markup,
        key=ask.key,
        allowed_engines=None if ask.allowed_engines is None else tuple(sorted(ask.allowed_engines)),
        tags=tuple(sorted(ask.tags)),
        deadline_ms=ask.deadline_ms,
        cache_bypass=request.cache == "bypass",
        text_hash=seal.close(ask.text_hash),
        clip=seal.digest(prepared.spoken + f"{prepared.target.voice}\0{prepared.target.gender}".encode()),
    )


def board(snapshot: Snapshot) -> dict[str, EngineThen]:
    """How each engine was when the request was planned."""
    return {name: _then(state) for name, state in snapshot.engines.items()}


def line(served: Served, ask: Asked, engines: dict[str, EngineThen], text: str | None) -> Line:
    """The line of one finished request. `text`: only where the operator wants it kept."""
    plan = served.plan
    skipped = {skip.engine: skip.code for skip in plan.skipped} if plan else {}
    return Line(
        v=VERSION,
        id=served.request_id,
        received=served.received,
        ask=ask,
        board=engines,
        rule=plan.rule if plan else "",
        preference=plan.preference if plan else (),
        skipped=skipped,
        cache=served.cache,
        engine=served.engine,
        voice=served.engine_voice,
        attempts=tuple([_tried(one) for one in served.attempts]),
        degraded=_degraded(served, plan) if served.degraded else "",
        audio_s=_ms(served.audio_s),
        first_audio_s=None if served.first_audio_s is None else _ms(served.first_audio_s),
        total_s=_ms(served.total_s or 0.0),
        cost=round(served.cost, 9),
        outcome=served.outcome,
        error=served.error,
        text=text,
    )


def _then(state: EngineState) -> EngineThen:
    return EngineThen(
        state=state.state,
        busy=state.busy,
        queued=state.queued,
        slots=state.slots,
        wait_s=None if state.wait_s is None else _ms(state.wait_s),
        first_audio_s=None if state.first_audio_s is None else _ms(state.first_audio_s),
        real_time_factor=None if state.real_time_factor is None else _ms(state.real_time_factor),
    )


def _tried(attempt: Attempt) -> Tried:
    return Tried(
        engine=attempt.engine,
        clause=attempt.clause,
        started_s=_ms(attempt.started_s),
        first_audio_s=None if attempt.first_audio_s is None else _ms(attempt.first_audio_s),
        ended_s=None if attempt.ended_s is None else _ms(attempt.ended_s),
        audio_s=_ms(attempt.audio_s),
        error=attempt.error,
        cost=round(attempt.cost, 9) if attempt.cost else _FREE,
    )


def _degraded(served: Served, plan: Plan | None) -> str:
    """Its reason may quote an engine's error, and that the text: the code says as much."""
    engine = served.degraded.partition(":")[0]
    codes = {one.engine: one.error for one in served.attempts if one.error}
    codes.update({skip.engine: skip.code for skip in plan.skipped} if plan else {})
    return f"{engine}: {codes.get(engine, 'failed')}"


def _ms(seconds: float) -> float:
    """Tenths of a millisecond: what is finer is noise, and every digit is written a million times."""
    return round(seconds, 4)
