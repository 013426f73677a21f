"""Recorded requests under a policy: known results for records made by hand."""

from __future__ import annotations

import pytest

from engines.errors import InvalidRequest
from gateway.served_log.line import EngineThen, Line
from gateway.simulation.pace import Pace
from gateway.simulation.station import Station
from gateway.simulation.world import Result, World
from policies.types import Ask, EngineState
from tests.gateway.simulation.records import SLOW, ask_of, down, line, policy, tried, world

PATIENT = {"first_audio_ms": 60_000}


def serve(one: World, *lines: Line) -> list[Result]:
    results = [one.serve(each, each.received.timestamp()) for each in lines]
    one.finish()
    assert all(result.done for result in results)
    return results


def test_the_second_request_waits_for_the_first_one_to_be_spoken() -> None:
    first, second = serve(world(), line("1"), line("2", at_s=2.0, audio_s=3.0))
    assert (first.engine, first.wait_s, first.first_audio_s) == ("a", 0.0, 0.5)
    assert (second.engine, second.wait_s, second.first_audio_s) == ("a", 3.0, 3.5)


def test_who_would_wait_too_long_goes_to_the_next_engine_and_pays() -> None:
    by = policy({"name": "all", "use": ["a", "b"], "first_audio_ms": 1000})
    first, second = serve(world(by), line("1", chars=500), line("2", chars=500))
    assert (first.engine, first.cost, first.degraded) == ("a", 0.0, "")
    assert (second.engine, second.cost) == ("b", 1.0)
    assert (second.degraded, second.degraded_code) == ("a", "too_slow")


def test_a_full_line_turns_away_and_when_all_are_full_nobody_is_heard() -> None:
    results = serve(world(queue=0), line("1"), line("2"), line("3"))
    assert [result.engine for result in results] == ["a", "b", ""]
    assert results[2].why == "busy"


def test_load_conditions_see_the_simulated_load_and_not_the_recorded_one() -> None:
    by = policy({"name": "busy", "when": {"load_above": {"a": 0.5}}, "use": ["b"]}, {"name": "idle", "use": ["a"]})
    loaded = {"a": EngineThen(busy=1, queued=4, slots=1), "b": EngineThen(slots=1)}
    results = serve(world(by), line("1", board=loaded), line("2", at_s=1.0), line("3", at_s=60.0, board=loaded))
    assert [(result.rule, result.engine) for result in results] == [("idle", "a"), ("busy", "b"), ("idle", "a")]


def test_an_engine_that_was_down_is_down() -> None:
    (result,) = serve(world(), line(board={"a": down()}, engine="b"))
    assert (result.engine, result.degraded, result.degraded_code) == ("b", "a", "down")


def test_an_engine_that_failed_a_request_fails_it_again_after_the_same_time() -> None:
    attempts = (tried("a", 0.0, 1.0, "engine_fault"), tried("a", 1.0, 3.0, "engine_fault"), tried("b", 3.0, 4.0))
    failed, other = serve(world(), line("1", attempts=attempts, engine="b"), line("2", at_s=1.0))
    assert (failed.engine, failed.first_audio_s, failed.degraded_code) == ("b", 3.5, "engine_fault")
    assert (other.engine, other.wait_s) == ("a", 2.0)


def test_one_that_failed_once_and_spoke_then_did_not_fail() -> None:
    attempts = (tried("a", 0.0, 1.0, "unavailable"), tried("a", 1.0, 3.0))
    (result,) = serve(world(), line(attempts=attempts))
    assert (result.engine, result.degraded) == ("a", "")


def test_a_refusal_is_final() -> None:
    refused = line(attempts=(tried("a", error="refused"),), engine="")
    (result,) = serve(world(), refused)
    assert (result.engine, result.why) == ("", "refused")
    (result,) = serve(world(policy({"name": "all", "use": ["a", "b"], "allow_refused_fallback": True})), refused)
    assert result.engine == "b"


def test_one_that_broke_off_after_it_was_heard_is_heard_again() -> None:
    (result,) = serve(world(), line(attempts=(tried("a", error="engine_fault", audio_s=1.0),), outcome="interrupted"))
    assert result.engine == "a"


def test_nobody_is_told_by_the_code_that_a_client_gets() -> None:
    (result,) = serve(world(), line(board={"a": down(), "b": down()}, engine=""))
    assert (result.engine, result.why) == ("", "unavailable")


@pytest.mark.parametrize("error", ["busy", "hedged"])
def test_one_that_was_busy_or_outrun_did_not_fail(error: str) -> None:
    (result,) = serve(world(), line(attempts=(tried("a", error=error), tried("b")), engine="b"))
    assert result.engine == "a"


def test_who_comes_while_an_engine_is_failing_another_keeps_its_place_in_time() -> None:
    """The first request gets to `b` after 2 s: the second one, which came for `b` at once, is before it there."""
    by = policy(
        {"name": "tagged", "when": {"tags": ["b"]}, "use": ["b"]}, {"name": "all", "use": ["a", "b"]}, defaults=PATIENT
    )
    first, second, third = serve(
        world(by),
        line("1", attempts=(tried("a", 0.0, 2.0, "engine_fault"),), engine="b"),
        line("2", at_s=1.0, tags=("b",)),
        line("3", at_s=3.0, tags=("b",)),
    )
    assert (second.engine, second.wait_s) == ("b", 0.0)
    assert (first.engine, first.wait_s) == ("b", 4.0)
    assert (third.engine, third.wait_s) == ("b", 8.0)


# --- the cache ---


def test_a_hit_stays_one_while_the_plan_may_take_that_clip_and_costs_nothing() -> None:
    hit, spoken = serve(world(), line("1", cache="hit"), line("2"))
    assert (hit.engine, hit.hit, hit.cost) == ("a", True, 0.0)
    assert (spoken.engine, spoken.wait_s) == ("a", 0.0)


def test_a_hit_is_spoken_once_when_another_engine_is_preferred_and_heard_from_its_clip_after_that() -> None:
    one = world(policy({"name": "all", "use": ["b"]}))
    results = serve(one, *(line(str(number), number, cache="hit", clip="c") for number in range(3)))
    assert [(result.engine, result.hit) for result in results] == [("b", False), ("b", True), ("b", True)]


def test_a_clip_that_another_engine_made_in_the_simulation_is_not_the_recorded_ones() -> None:
    """`b` speaks the first, because it is tagged; the second one would take `a`'s clip, but `a` has made none here."""
    by = policy({"name": "tagged", "when": {"tags": ["b"]}, "use": ["b"]}, {"name": "all", "use": ["a"]})
    first, second, third = serve(
        world(by),
        line("1", clip="c", tags=("b",)),
        line("2", 10.0, clip="c", cache="hit"),
        line("3", 20.0, clip="c", cache="hit"),
    )
    assert (first.engine, first.hit) == ("b", False)
    assert (second.engine, second.hit) == ("a", False)
    assert (third.engine, third.hit) == ("a", True)


def test_what_was_spoken_is_spoken() -> None:
    results = serve(world(), line("1", clip="c"), line("2", 10.0, clip="c"))
    assert [result.hit for result in results] == [False, False]


@pytest.mark.parametrize("terms", ["bypass", "only"])
def test_the_terms_of_the_rule_hold(terms: str) -> None:
    one = world(policy({"name": "all", "use": ["a"], "cache": terms}))
    hit, miss = serve(one, line("1", cache="hit"), line("2"))
    if terms == "bypass":
        assert (hit.engine, hit.hit, miss.engine) == ("a", False, "a")
    else:
        assert (hit.engine, hit.hit, miss.engine, miss.why) == ("a", True, "", "not in the cache")


def test_a_clip_of_a_preferred_engine_that_is_down_is_still_heard() -> None:
    (result,) = serve(world(), line(cache="hit", board={"a": down()}))
    assert (result.engine, result.hit, result.degraded) == ("a", True, "")


# --- the rest ---


def test_a_request_that_the_configuration_does_not_know_any_more_is_nobodys() -> None:
    def refuse(_: Line) -> Ask:
        raise InvalidRequest("unknown voice")

    one = World(policy(), {"a": Station(EngineState("a"), SLOW)}, refuse)
    (result,) = serve(one, line())
    assert (result.engine, result.why) == ("", "invalid_request")


def test_the_order_by_speed_sees_what_was_measured_when_the_log_began() -> None:
    stations = {name: Station(EngineState(name), Pace(0.1, 0.1, 0.1)) for name in ("a", "b")}
    one = World(policy({"name": "all", "use": ["a", "b"], "order": "fastest"}), stations, ask_of)
    board = {name: EngineThen(slots=1, first_audio_s=s, real_time_factor=1.0) for name, s in (("a", 2.0), ("b", 1.0))}
    (result,) = serve(one, line(board=board))
    assert result.engine == "b"
