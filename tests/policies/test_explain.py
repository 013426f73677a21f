"""A plan for people, and the fields of its JSON."""

from __future__ import annotations

import json

from policies.explain import PassedOver, plan_fields, render
from policies.policy import Terms
from policies.types import Plan, Skip, Step

PLAN = Plan(
    rule="short prompts stay local",
    steps=(
        Step("sambert", "sambert-zhiqi-v1", 0.40049, "listed second"),
        Step("espeak", "", None, "last resort"),
    ),
    skipped=(Skip("indextts", "down", "down since 12:03:10 after 5 faults"),),
    preference=("indextts", "sambert", "espeak"),
    terms=Terms(),
)


def test_the_fields_are_those_of_the_contract() -> None:
    assert json.loads(json.dumps(plan_fields(PLAN))) == {
        "rule": "short prompts stay local",
        "steps": [
            {
                "engine": "sambert",
                "voice": "sambert-zhiqi-v1",
                "expected_first_audio_s": 0.4,
                "reason": "listed second",
            },
            {"engine": "espeak", "voice": "", "expected_first_audio_s": None, "reason": "last resort"},
        ],
        "skipped": [{"engine": "indextts", "code": "down", "reason": "down since 12:03:10 after 5 faults"}],
    }


def test_people_see_every_step_every_skip_and_why_other_rules_did_not_hold() -> None:
    passed = [PassedOver("at night", "hours 22:00-06:00: it is 12:05 there")]
    whole = {
        **plan_fields(PLAN),
        "model": "auto",
        "voice": "narrator",
        "chars": 18,
        "clauses": [{"text": "请稍候。", "language": "zh"}],
    }
    assert render(whole, passed) == (
        "model    auto\n"
        "voice    narrator\n"
        "chars    18\n"
        "clause   [zh] 请稍候。\n"
        "not      at night (hours 22:00-06:00: it is 12:05 there)\n"
        "rule     short prompts stay local\n"
        "\n"
        "tried, in this order:\n"
        "  1.  sambert  sambert-zhiqi-v1  0.4 s         listed second\n"
        "  2.  espeak   own voice         not measured  last resort\n"
        "\n"
        "skipped:\n"
        "  -  indextts  down  down since 12:03:10 after 5 faults\n"
    )


def test_a_plan_without_steps_says_so() -> None:
    words = render(plan_fields(Plan("", (), (), (), Terms())))
    assert words == "rule     none\n\nno engine can speak this now\n"
