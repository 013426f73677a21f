"""A board written as plain data: what it replaces, what it leaves, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from engines.contract import EngineInfo
from policies.board_file import board_fields, snapshot_from
from policies.types import EngineState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INFO = EngineInfo(any_language=True)
ENGINES = {
    "indextts": EngineState(
        "indextts", state="down", busy=1, queued=3, slots=2, queue=5, first_audio_s=9.0, reason="crashed", info=INFO
    ),
    "sambert": EngineState("sambert", state="not_configured", slots=10, cost_per_1k_chars=0.2, reason="set a key"),
}
EXAMPLE = {
    "now": "2026-11-20T23:30:00+08:00",
    "engines": {
        "indextts": {
            "state": "up",
            "busy": 1,
            "queued": 2,
            "slots": 1,
            "first_audio_s": 1.2,
            "real_time_factor": 2.1,
            "cost_per_1k_chars": 0,
        }
    },
}


def errors(data: object, now: datetime | None = NOW) -> dict[tuple[str | int, ...], str]:
    with pytest.raises(ValidationError) as caught:
        snapshot_from(data, ENGINES, now=now)
    return {one["loc"]: one["msg"] for one in caught.value.errors()}


def test_the_example_of_the_contract_is_read() -> None:
    snapshot = snapshot_from(EXAMPLE, ENGINES)
    assert snapshot.now.isoformat() == "2026-11-20T23:30:00+08:00"
    assert snapshot.now.utcoffset() == timedelta(hours=8)
    assert snapshot.engines["indextts"] == EngineState(
        "indextts", busy=1, queued=2, slots=1, queue=5, first_audio_s=1.2, real_time_factor=2.1, info=INFO
    )


def test_an_engine_not_named_is_as_engines_yaml_says_and_up() -> None:
    assert snapshot_from(EXAMPLE, ENGINES).engines["sambert"] == EngineState("sambert", slots=10, cost_per_1k_chars=0.2)


def test_live_state_is_replaced_whole() -> None:
    state = snapshot_from({"engines": {"indextts": {}}}, ENGINES, now=NOW).engines["indextts"]
    assert state == EngineState("indextts", slots=2, queue=5, info=INFO)


def test_the_board_is_of_now_when_it_does_not_say() -> None:
    assert snapshot_from({}, ENGINES, now=NOW).now == NOW
    assert "is missing" in errors({}, now=None)["now",]


def test_what_is_written_is_read_as_the_same() -> None:
    given = {"state": "down", "since": "2026-11-20T12:03:10+08:00", "reason": "after 5 faults", "busy": 1, "queue": 0}
    data = {**EXAMPLE, "engines": {"sambert": given}}
    snapshot = snapshot_from(data, ENGINES)
    written = json.dumps(board_fields(snapshot), allow_nan=False)
    assert snapshot_from(json.loads(written), ENGINES) == snapshot


def test_what_is_worked_out_is_written_beside() -> None:
    fields = board_fields(snapshot_from(EXAMPLE, ENGINES))["engines"]
    # two places behind the one that speaks and waits: three times 2.1 s of work for each of 5 s of speech
    assert fields["indextts"]["expected_first_audio_s"] == pytest.approx(3 * 2.1 * 5 + 1.2)
    assert fields["indextts"]["load"] == 3.0
    down = {"now": EXAMPLE["now"], "engines": {"sambert": {"state": "down"}}}
    assert board_fields(snapshot_from(down, ENGINES))["engines"]["sambert"]["load"] is None


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        ({"now": "2026-11-20T23:30:00"}, ("now",), "has no time zone"),
        ({"now": "yesterday"}, ("now",), "is no time"),
        ({"now": 1763000000}, ("now",), "is no time"),
        ({"nwo": "2026-11-20T23:30:00Z"}, ("nwo",), "did you mean now?"),
        ({"engines": {"indextts": {"bussy": 1}}}, ("engines", "indextts", "bussy"), "did you mean busy"),
        ({"engines": {"indextts": {"busy": -1}}}, ("engines", "indextts", "busy"), "0"),
        ({"engines": {"indextts": {"slots": 0}}}, ("engines", "indextts", "slots"), "1"),
        ({"engines": {"indextts": {"state": "asleep"}}}, ("engines", "indextts", "state"), "'cooling'"),
        (
            {"engines": {"indextts": {"first_audio_s": float("nan")}}},
            ("engines", "indextts", "first_audio_s"),
            "finite",
        ),
        ({"engines": {"indxtts": {}}}, ("engines", "indxtts"), "did you mean indextts?"),
        ([], (), "valid dictionary"),
    ],
)
def test_a_wrong_board_is_refused_at_its_place(data: object, place: tuple[str | int, ...], words: str) -> None:
    found = errors(data)
    assert list(found) == [place]
    assert words in found[place]


def test_all_errors_are_told_at_once() -> None:
    data: dict[str, Any] = {"now": "x", "engines": {"nobody": {}, "indextts": {"busy": "much"}}}
    assert set(errors(data)) == {("now",), ("engines", "nobody"), ("engines", "indextts", "busy")}
