"""Every decision case: a YAML file under cases/, which says how to add one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from engines.contract import EngineInfo, Voice
from policies.board_file import board_fields, snapshot_from
from policies.decide import decide, degraded
from policies.explain import passed_over, plan_fields, render
from policies.policy import Policy
from policies.types import Ask, EngineState, Snapshot

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def named_engines(policy: Policy, case: dict[str, Any]) -> set[str]:
    names = {use.engine for rule in policy.rules for use in rule.use} | set(policy.paused)
    names |= set(case.get("board", {}).get("engines", {})) | set(case.get("infos", {}))
    names |= {name for name in (policy.last_resort, case.get("ask", {}).get("only")) if name}
    return names - set(case.get("absent", ()))


def info_of(fields: dict[str, Any]) -> EngineInfo:
    voices = tuple(Voice(**{**one, "languages": tuple(one["languages"])}) for one in fields.get("voices", ()))
    return EngineInfo(**{**fields, "voices": voices, "languages": frozenset(fields.get("languages", ()))})


def ask_of(fields: dict[str, Any]) -> Ask:
    ask = Ask(**{"chars": 18, "languages": ("zh",), "audio_s": 5.0, **fields})
    allowed = ask.allowed_engines
    return replace(
        ask,
        languages=tuple(ask.languages),
        tags=frozenset(ask.tags),
        allowed_engines=None if allowed is None else frozenset(allowed),
    )


def read_case(path: Path) -> tuple[Policy, Ask, Snapshot, dict[str, Any]]:
    case = YAML(typ="safe", pure=True).load(path)
    assert set(case) <= {"about", "policy", "ask", "board", "infos", "absent", "expect"}
    policy = Policy.model_validate({"version": 1, **case["policy"]})
    infos = {name: info_of(fields) for name, fields in case.get("infos", {}).items()}
    states = {name: EngineState(name, info=infos.get(name)) for name in named_engines(policy, case)}
    return policy, ask_of(case.get("ask", {})), snapshot_from(case.get("board", {}), states, now=NOW), case["expect"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_plan_is_as_the_case_says(path: Path) -> None:
    policy, ask, snapshot, expect = read_case(path)
    plan = decide(ask, snapshot, policy)
    reasons = {one.engine: one.reason for one in (*plan.steps, *plan.skipped)}
    passed = {one.rule: one.why for one in passed_over(ask, snapshot, policy)}
    disrupted = expect.get("degraded", {})
    found = {
        "rule": plan.rule,
        "steps": [step.engine for step in plan.steps],
        "skipped": {skip.engine: skip.code for skip in plan.skipped},
        "preference": list(plan.preference),
        "voices": {step.engine: step.voice for step in plan.steps},
        "expected": {step.engine: step.expected_first_audio_s for step in plan.steps},
        "reasons": {name: reasons[name] for name in expect.get("reasons", {})},
        "passed": passed,
        "terms": {name: getattr(plan.terms, name) for name in expect.get("terms", {})},
        "degraded": {
            **disrupted,
            "is": degraded(plan, disrupted.get("spoke", ""), tuple(disrupted.get("failed", {}).items())),
        },
    }
    assert {"rule", "steps"} <= set(expect)
    assert {name: found[name] for name in expect} == expect


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_plan_is_the_same_once_its_board_was_written_and_read_again(path: Path) -> None:
    policy, ask, snapshot, _ = read_case(path)
    written = json.loads(json.dumps(board_fields(snapshot), allow_nan=False))
    again = snapshot_from(written, snapshot.engines)
    assert decide(ask, again, policy) == decide(ask, snapshot, policy)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_plan_in_words_has_every_reason(path: Path) -> None:
    policy, ask, snapshot, _ = read_case(path)
    plan = decide(ask, snapshot, policy)
    words = render(plan_fields(plan), passed_over(ask, snapshot, policy))
    for one in (*plan.steps, *plan.skipped):
        assert any(one.engine in line and line.endswith(one.reason) for line in words.splitlines())


def test_no_case_is_forgotten_by_the_pattern_of_its_name() -> None:
    stray = {path.name for path in (Path(__file__).parent / "cases").iterdir()} - {path.name for path in CASES}
    assert stray == {"README.md"}
