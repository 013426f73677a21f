"""The index finds the rule that asking one after another finds, whatever the rules and however often it is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.decide import decide, out_of_rotation
from policies.explain import passed_over
from policies.index import FACTS, LENGTHS
from policies.policy import Policy
from policies.types import Ask, EngineState, Snapshot
from tests.policies.test_decide import asks, rules, snapshots, unhurried


@st.composite
def many_rules(draw: st.DrawFn) -> Policy:
    drawn = draw(st.lists(rules, min_size=1, max_size=12))
    return Policy.model_validate(
        {"version": 1, "rules": [{**rule, "name": f"rule {place}"} for place, rule in enumerate(drawn)]}
    )


NOW = datetime(2026, 1, 1, tzinfo=UTC)

asks_for_any_engine = asks.map(lambda ask: replace(ask, only=""))


@settings(unhurried, max_examples=60)
@given(many_rules(), st.lists(asks_for_any_engine, min_size=1, max_size=6), st.lists(snapshots, min_size=1, max_size=2))
def test_it_finds_the_first_rule_that_holds(policy: Policy, asked: list[Ask], boards: list[Snapshot]) -> None:
    for snapshot in boards:
        for ask in asked:
            passed = passed_over(ask, out_of_rotation(snapshot, policy), policy)
            expected = len(passed) if len(passed) < len(policy.rules) else None
            assert policy.index.first(ask, snapshot) == expected


def test_rules_that_ask_the_same_of_an_engine_fall_together() -> None:
    asking = [{"name": str(place), "when": {"healthy": ["a"]}, "use": ["a"]} for place in range(200)]
    policy = Policy.model_validate({"version": 1, "rules": [*asking, {"name": "else", "use": ["b"]}]})
    snapshot = Snapshot(NOW, {"a": EngineState("a", state="down"), "b": EngineState("b")})
    assert decide(Ask(1, ("en",), 1.0), snapshot, policy).rule == "else"


def test_tags_that_no_rule_names_are_not_remembered() -> None:
    rule = {"name": "urgent", "when": {"tags": ["urgent"]}, "use": ["a"]}
    policy = Policy.model_validate({"version": 1, "rules": [rule, {"name": "else", "use": ["a"]}]})
    snapshot = Snapshot(NOW, {})
    for number in range(100):
        ask = Ask(1, ("en",), 1.0, tags=frozenset({f"user {number}"}))
        assert policy.index.first(ask, snapshot) == 1
        assert policy.index.first(Ask(1, ("en",), 1.0, tags=ask.tags | {"urgent"}), snapshot) == 0
    (facet,) = policy.index._facets
    assert len(facet._known) == 2


def test_every_condition_about_the_request_alone_has_a_fact() -> None:
    about_the_request = {"min_chars", "max_chars", "languages", "voices", "models", "formats", "keys", "tags", "stream"}
    assert {*FACTS, *LENGTHS} == about_the_request
