"""The state of engines as plain data: read for `--board FILE.json`, written for `GET /v1/engines`.

Two directions of one shape, so that what a running gateway shows can be fed to `explain` and `simulate` as it is.
Knows nothing about files or HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field, PlainSerializer, ValidationError
from pydantic_core import PydanticCustomError

from policies.strict import Typed, details, near, problem, refused
from policies.types import EngineState, Snapshot, State

#: seconds of speech that "expected" is said for: a sentence
SENTENCE_S = 5.0

_EXAMPLE = "2026-11-20T23:30:00+08:00"


def _with_zone(given: object) -> object:
    """An ISO time as text; a number, or a time without a zone, would be read as somebody's guess."""
    try:
        moment = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    except ValueError:
        raise PydanticCustomError("time", f"{given!r} is no time: write it as {_EXAMPLE}") from None
    if moment.tzinfo is None:
        raise PydanticCustomError("time_zone", f"{given!r} has no time zone: write it as {_EXAMPLE}")
    return moment


Moment = Annotated[AwareDatetime, BeforeValidator(_with_zone), PlainSerializer(lambda moment: moment.isoformat())]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class BoardEngine(Typed):
    """One engine. None: as engines.yaml says; for what is measured, that nothing is known."""

    state: State = "up"
    busy: Count = 0
    queued: Count = 0
    slots: Annotated[int, Field(ge=1)] | None = None
    queue: Count | None = None
    wait_s: Amount | None = None
    first_audio_s: Amount | None = None
    real_time_factor: Amount | None = None
    stretch: Amount = 1.0
    cost_per_1k_chars: Amount | None = None
    reason: str = ""
    since: Moment | None = None
    back_in_s: Amount | None = None
    load: float | None = None  # worked out from the others: written, and not read
    expected_first_audio_s: float | None = None  # likewise, for a sentence of `SENTENCE_S`
    about: Any = None  # what the engine is, as opposed to how it is: written, and not read


class BoardFile(Typed):
    """All engines at one moment."""

    now: Moment | None = None
    engines: Mapping[str, BoardEngine] = Field(default_factory=dict)
    disabled: Any = None  # both are written by a gateway, and not read
    plugins: Any = None


def snapshot_from(data: object, engines: Mapping[str, EngineState], *, now: datetime | None = None) -> Snapshot:
    """The snapshot that `data` describes, over `engines`: the enabled ones, with slots, costs and `info` of their own.

    Live state is replaced whole: an engine that `data` does not name is up, idle and not measured. `now` serves where
    `data` has none. Raises pydantic's ValidationError with every problem, unknown engines with near names too.
    """
    try:
        board = BoardFile.model_validate(data)
    except ValidationError as error:
        raise refused("BoardFile", [*details(error), *_unknown(data, engines)]) from None
    problems = _unknown(data, engines)
    moment = board.now or now
    if moment is None:
        problems.append(problem(("now",), f"is missing: write the time with its zone, such as {_EXAMPLE}"))
    if moment is None or problems:
        raise refused("BoardFile", problems)
    return Snapshot(
        moment, {name: _over(state, board.engines.get(name) or BoardEngine()) for name, state in engines.items()}
    )


def board_fields(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as JSON's types, in the shape that `snapshot_from` reads; null stands for an infinite load."""
    return {
        "now": snapshot.now.isoformat(),
        "engines": {name: _engine_fields(state) for name, state in snapshot.engines.items()},
    }


def _engine_fields(state: EngineState) -> dict[str, Any]:
    expected = state.expected_first_audio_s(SENTENCE_S)
    return {
        "state": state.state,
        "busy": state.busy,
        "queued": state.queued,
        "slots": state.slots,
        "queue": state.queue,
        "wait_s": state.wait_s,
        "first_audio_s": state.first_audio_s,
        "real_time_factor": state.real_time_factor,
        "stretch": state.stretch,
        "cost_per_1k_chars": state.cost_per_1k_chars,
        "reason": state.reason,
        "since": None if state.since is None else state.since.isoformat(),
        "back_in_s": state.back_in_s,
        "load": None if math.isinf(state.load) else state.load,
        "expected_first_audio_s": expected,
    }


def _over(state: EngineState, given: BoardEngine) -> EngineState:
    cost = given.cost_per_1k_chars
    return replace(
        state,
        state=given.state,
        busy=given.busy,
        queued=given.queued,
        slots=given.slots or state.slots,
        queue=state.queue if given.queue is None else given.queue,
        wait_s=given.wait_s,
        first_audio_s=given.first_audio_s,
        real_time_factor=given.real_time_factor,
        stretch=given.stretch,
        cost_per_1k_chars=state.cost_per_1k_chars if cost is None else cost,
        reason=given.reason,
        since=given.since,
        back_in_s=given.back_in_s,
    )


def _unknown(data: object, engines: Mapping[str, EngineState]) -> list[Any]:
    named = data.get("engines") if isinstance(data, Mapping) else None
    return [
        problem(("engines", name), f"{name!r} is not enabled in engines.yaml; {near(str(name), engines)}")
        for name in (named if isinstance(named, Mapping) else ())
        if name not in engines
    ]
