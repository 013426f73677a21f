"""How quick engines are, by what a log says of their attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.served_log.line import EngineThen
from gateway.simulation.pace import Survey
from gateway.simulation.quantiles import Quantiles
from tests.gateway.simulation.records import line, tried

FREE, TAKEN = EngineThen(slots=2, busy=1), EngineThen(slots=2, busy=2)


def spoken(busy: EngineThen, took_s: float, audio_s: float = 4.0, **fields: object) -> object:
    attempt = tried("a", 0.1, 0.1 + took_s, first_audio_s=took_s / 4, audio_s=audio_s)
    return line(board={"a": busy}, attempts=(attempt,), first_audio_s=0.1 + took_s / 2, **fields)  # type: ignore[arg-type]


def test_attempts_that_found_a_free_slot_are_measured_and_waits_are_not() -> None:
    survey = Survey()
    for one in (spoken(FREE, 2.0), spoken(FREE, 2.0), spoken(TAKEN, 40.0)):
        survey.add(one)  # type: ignore[arg-type]
    pace = survey.pace("a")
    assert pace is not None
    assert pace.real_time_factor == pytest.approx(0.5)
    assert pace.first_audio_s == pytest.approx(0.5, rel=0.02)
    assert pace.heard_s == pytest.approx(1.0, rel=0.02)
    assert pace.held_s(10.0) == pytest.approx(5.0)
    assert pace.held_s(0.1) == pytest.approx(1.0, rel=0.02)


def test_where_no_slot_was_ever_free_all_attempts_are() -> None:
    survey = Survey()
    survey.add(spoken(TAKEN, 2.0))  # type: ignore[arg-type]
    pace = survey.pace("a")
    assert pace is not None
    assert pace.real_time_factor == pytest.approx(0.5)


def test_failures_say_nothing_and_an_engine_that_never_spoke_has_no_pace() -> None:
    survey = Survey()
    survey.add(line(board={"a": FREE}, attempts=(tried("a", error="engine_fault", first_audio_s=0.1, audio_s=1.0),)))
    assert survey.pace("a") is None
    assert survey.pace("b") is None


@given(st.lists(st.floats(0.001, 1000), min_size=1), st.sampled_from([0.5, 0.95]))
def test_quantiles_are_right_to_two_percent(values: list[float], part: float) -> None:
    found = Quantiles()
    for value in values:
        found.add(value)
    exact = sorted(values)[max(0, -(-int(part * 100) * len(values) // 100) - 1)]
    assert found.at(part) == pytest.approx(exact, rel=0.02)


def test_quantiles_of_nothing_are_not_known_and_those_of_no_waits_are_none() -> None:
    found = Quantiles()
    assert found.at(0.5) is None
    for seconds in (0.0, 0.0, 0.0, 5.0):
        found.add(seconds)
    assert found.at(0.5) == 0.0
    assert found.at(0.95) == pytest.approx(5.0, rel=0.02)
