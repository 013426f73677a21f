"""Whole logs through two worlds: what must hold whatever the requests and the policies are."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.served_log.line import EngineThen, Line, Tried
from gateway.simulation.pace import Disorder
from gateway.simulation.replay import Replay, in_order
from gateway.simulation.report import report
from gateway.simulation.show import show
from policies.policy import Policy
from tests.gateway.simulation.records import line, policy, tried, world


def replay(lines: list[Line], now: Policy, new: Policy) -> Replay:
    one = Replay(world(now, queue=2), world(new, queue=2))
    for each in lines:
        one.add(each)
    one.finish()
    return one


@st.composite
def logs(draw: st.DrawFn) -> list[Line]:
    lines, at_s = [], 0.0
    for number in range(draw(st.integers(0, 25))):
        at_s += draw(st.floats(0, 8))
        cache = draw(st.sampled_from(["miss", "hit", "follow", "bypass"]))
        board = {name: EngineThen(state=draw(st.sampled_from(["up", "up", "down"])), slots=1) for name in ("a", "b")}
        attempts: tuple[Tried, ...] = ()
        if draw(st.booleans()):
            attempts = (tried(draw(st.sampled_from("ab")), 0.0, draw(st.floats(0, 3)), draw(ERRORS)),)
        lines.append(
            line(
                str(number),
                at_s,
                chars=draw(st.integers(1, 100)),
                audio_s=draw(st.floats(0, 20)),
                clip=draw(st.sampled_from("xyz")),
                cache=cache,
                engine=draw(st.sampled_from(["a", "b", ""])),
                board=board,
                attempts=attempts,
            )
        )
    return lines


ERRORS = st.sampled_from(["", "engine_fault", "refused", "busy"])
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "use": st.sampled_from([["a", "b"], ["b", "a"], ["a"], ["b"]]),
            "order": st.sampled_from(["listed", "fastest", "least_busy", "cheapest", "spread"]),
            "cache": st.sampled_from(["use", "bypass", "only"]),
            "when": st.sampled_from([{}, {"load_above": {"a": 0.5}}, {"max_chars": 50}, {"healthy": ["a"]}]),
        }
    ),
    min_size=1,
    max_size=3,
)


def policy_of(rules: list[dict[str, object]]) -> Policy:
    return policy(*({"name": str(number), **rule} for number, rule in enumerate(rules)))


@given(logs(), RULES)
def test_the_same_policy_changes_nothing(lines: list[Line], rules: list[dict[str, object]]) -> None:
    found = replay(lines, policy_of(rules), policy_of(rules)).comparison
    assert (found.changed, found.other_rule, dict(found.changes)) == (0, 0, {})
    assert found.baseline.cost == found.candidate.cost
    assert found.baseline.rules == found.candidate.rules


@given(logs(), RULES, RULES)
def test_each_request_is_spoken_or_heard_from_the_cache_or_unserved_once(
    lines: list[Line], rules: list[dict[str, object]], others: list[dict[str, object]]
) -> None:
    one = replay(lines, policy_of(rules), policy_of(others))
    found = one.comparison
    for tally, its_world in ((found.baseline, one.baseline), (found.candidate, one.candidate)):
        spoken = sum(engine.spoken for engine in tally.engines.values())
        hits = sum(engine.hits for engine in tally.engines.values())
        assert tally.requests == len(lines) == spoken + hits + tally.unserved.total()
        assert tally.rules.total() == len(lines)
        assert hits == tally.hits
        assert spoken == tally.waits.count == tally.first_audio.count
        assert tally.degraded == sum(engine.passed_over.total() for engine in tally.engines.values())
        for station in its_world.stations.values():
            assert station.busy_s <= one.span_s + 1e-6
    assert found.changed == found.changes.total()
    assert show(report(one))


def test_what_changed_is_told_with_rules_and_requests() -> None:
    now = policy({"name": "one", "use": ["a"]})
    new = policy({"name": "short", "when": {"max_chars": 20}, "use": ["b"]}, {"name": "long", "use": ["a"]})
    lines = [line(str(number), 10.0 * number, chars=10 if number < 4 else 30) for number in range(6)]
    told = report(replay(lines, now, new))
    assert told["changes"] == {
        "requests": 4,
        "percent": 66.67,
        "other_rule_same_engine": 2,
        "kinds": [
            {
                "from": {"engine": "a", "rule": "one"},
                "to": {"engine": "b", "rule": "short"},
                "requests": 4,
                "examples": ["0", "1", "2"],
            }
        ],
    }
    assert told["fidelity"] == {"compared": 6, "as_recorded": 6, "percent": 100.0}
    assert told["candidate"]["rules"] == {"short": 4, "long": 2}
    assert told["candidate"]["cost"] == 0.08
    assert told["candidate"]["engines"]["b"]["busy_s"] == 20.0
    # 55 s from the first request to the last word; 5 s each, one slot each
    assert told["baseline"]["engines"]["a"]["load_average"] == round(30 / 55, 4)
    assert told["baseline"]["engines"]["a"]["wait_s"] == {"p50": 0.0, "p95": 0.0}


def test_a_request_whose_client_left_before_the_first_sound_is_not_held_against_the_simulation() -> None:
    lines = [line("1", engine="", outcome="cancelled"), line("2", 10.0), line("3", 20.0, engine="b")]
    told = report(replay(lines, policy(), policy()))
    assert told["fidelity"] == {"compared": 2, "as_recorded": 1, "percent": 50.0}


def test_nothing_to_replay_is_said() -> None:
    assert show(report(replay([], policy(), policy()))) == "no requests to replay\n"


@given(st.lists(st.floats(0, 1000), max_size=40))
def test_lines_come_in_the_order_of_their_requests_whatever_the_order_in_which_they_ended(times: list[float]) -> None:
    lines, disorder = [line(str(number), at_s) for number, at_s in enumerate(times)], Disorder()
    for one in lines:
        disorder.add(one)
    found = list(in_order(iter(lines), disorder.seconds))
    assert sorted(one.id for one in found) == sorted(one.id for one in lines)
    assert all(before.received <= after.received for before, after in pairwise(found))


def test_no_more_lines_are_held_back_than_their_disorder_asks_for() -> None:
    taken = []

    def lines() -> list[Line]:
        return [line(str(number), float(number)) for number in range(100)]

    def watched():  # type: ignore[no-untyped-def]
        for one in lines():
            taken.append(one.id)
            yield one

    ordered = in_order(watched(), 3.0)
    assert next(ordered).id == "0"
    assert len(taken) == 5
