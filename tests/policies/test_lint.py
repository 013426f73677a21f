"""What lint finds in policies that are well formed, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import pytest

from engines.contract import EngineInfo
from policies.lint import Finding, lint, unknown_engines
from policies.policy import Policy

INFOS: dict[str, EngineInfo | None] = {
    "indextts": EngineInfo(languages=frozenset({"zh", "en"})),
    "sambert": EngineInfo(languages=frozenset({"zh"})),
    "espeak": EngineInfo(any_language=True),
    "cloud": None,
    "gpu-box": None,
}
ENABLED = {"indextts", "sambert", "espeak", "cloud"}
ELSE = {"name": "else", "use": ["indextts", "sambert"]}


def findings(*rules: dict[str, Any], **fields: Any) -> list[Finding]:
    whole = {
        "version": 1,
        "rules": [{"name": f"rule {i}", "use": ["indextts"], **rule} for i, rule in enumerate(rules)],
    }
    return lint(
        Policy.model_validate({**whole, "last_resort": "espeak", **fields}), INFOS, ENABLED, ("narrator", "child")
    )


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def test_a_good_policy_has_no_findings() -> None:
    assert (
        findings(
            {"when": {"max_chars": 40, "languages": ["zh", "en"]}, "use": ["indextts", "sambert"]},
            {"when": {"min_chars": 41, "load_above": {"indextts": 0.8}}, "use": ["sambert", "indextts"]},
            {"when": {"languages": ["ja"], "voices": ["child"], "models": ["tts-1", "auto"]}, "use": ["cloud"]},
            ELSE,
            models={"tts-1": "auto", "fast": "sambert"},
        )
        == []
    )


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"last_resort": "espaek"}, ("last_resort",)),
        ({"paused": ["espeak", "nobody"]}, ("paused", 1)),
        ({"models": {"fast": "nobody"}}, ("models", "fast")),
    ],
)
def test_an_unknown_engine_of_the_whole_is_an_error(fields: dict[str, Any], path: tuple[str | int, ...]) -> None:
    assert [one.path for one in findings(ELSE, **fields) if one.severity == "error"] == [path]


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"use": ["indextts", "nobody"]}, ("use", 1)),
        ({"use": [{"engine": "nobody"}]}, ("use", 0)),
        ({"when": {"load_above": {"nobody": 1}}}, ("when", "load_above", "nobody")),
        ({"when": {"load_below": {"nobody": 1}}}, ("when", "load_below", "nobody")),
        ({"when": {"wait_above_ms": {"nobody": 1}}}, ("when", "wait_above_ms", "nobody")),
        ({"when": {"first_audio_above_ms": {"nobody": 1}}}, ("when", "first_audio_above_ms", "nobody")),
        ({"when": {"healthy": ["indextts", "nobody"]}}, ("when", "healthy", 1)),
        ({"when": {"not": {"unhealthy": ["nobody"]}}}, ("when", "not", "unhealthy", 0)),
    ],
)
def test_an_unknown_engine_of_a_rule_is_an_error(rule: dict[str, Any], path: tuple[str | int, ...]) -> None:
    finding = only(findings(rule))
    assert (finding.path, finding.severity) == (("rules", 0, *path), "error")


def test_an_unknown_engine_is_told_with_near_names() -> None:
    assert only(findings({"use": ["indxtts"]})).message == "unknown engine 'indxtts'; did you mean indextts?"
    assert "known: cloud, espeak, gpu-box, indextts, sambert" in only(findings({"use": ["qqq"]})).message


def test_unknown_engines_are_found_in_a_file_that_is_wrong_elsewhere() -> None:
    data = {"rules": [{"use": ["nobody", 3], "when": {"max_chars": "many", "healthy": "x"}}, None], "last_resort": 5}
    assert [one.path for one in unknown_engines(data, INFOS)] == [("rules", 0, "use", 0)]
    assert unknown_engines(None, INFOS) == []


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({}, {}),
        ({}, {"max_chars": 10}),
        ({"max_chars": 10}, {"max_chars": 10}),
        ({"max_chars": 40}, {"max_chars": 10, "tags": ["x"]}),
        ({"min_chars": 5}, {"min_chars": 10}),
        ({"languages": ["zh", "en"]}, {"languages": ["zh"]}),
        ({"load_above": {"indextts": 0.5}}, {"load_above": {"indextts": 0.8, "sambert": 1}}),
        ({"load_below": {"indextts": 0.8}}, {"load_below": {"indextts": 0.5}}),
        ({"healthy": ["indextts"]}, {"healthy": ["indextts", "sambert"]}),
        ({"share": {"percent": 10}}, {"share": {"percent": 5}}),
        ({"hours": "22:00-06:00"}, {"hours": "22:00-06:00", "stream": True}),
        ({"not": {"max_chars": 3}}, {"not": {"max_chars": 3}}),
    ],
)
def test_a_rule_below_one_that_takes_all_of_its_requests_is_unreachable(
    wide: dict[str, Any], narrow: dict[str, Any]
) -> None:
    finding = only(findings({"when": wide}, {"when": narrow}))
    assert (finding.path, finding.severity) == (("rules", 1), "warning")
    assert "'rule 0'" in finding.message


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ({"max_chars": 10}, {}),
        ({"max_chars": 10}, {"max_chars": 40}),
        ({"min_chars": 10}, {"min_chars": 5}),
        ({"max_chars": 10, "stream": True}, {"max_chars": 10}),
        ({"languages": ["zh"]}, {"languages": ["zh", "en"]}),
        ({"load_above": {"indextts": 0.8}}, {"load_above": {"sambert": 0.9}}),
        ({"load_below": {"indextts": 0.5}}, {"load_below": {"indextts": 0.8}}),
        ({"healthy": ["indextts", "sambert"]}, {"healthy": ["indextts"]}),
        ({"share": {"percent": 5}}, {"share": {"percent": 10}}),
        ({"share": {"percent": 10, "by": "key"}}, {"share": {"percent": 5, "by": "text"}}),
        ({"not": {"max_chars": 3}}, {"not": {"max_chars": 5}}),
    ],
)
def test_a_rule_that_some_requests_reach_is_left_alone(above: dict[str, Any], below: dict[str, Any]) -> None:
    assert findings({"when": above}, {"when": below}) == []


@pytest.mark.parametrize(
    ("when", "path"),
    [
        ({"share": {"percent": 0}}, ("share", "percent")),
        ({"healthy": ["indextts"], "unhealthy": ["indextts"]}, ("unhealthy",)),
        ({"load_above": {"indextts": 0.8}, "load_below": {"indextts": 0.8}}, ("load_below", "indextts")),
        ({"stream": True, "not": {"stream": True}}, ("not", "stream")),
        ({"voices": ["nobody"]}, ("voices", 0)),
        ({"not": {"voices": ["nobody"]}}, ("not", "voices", 0)),
        ({"models": ["tts-9"]}, ("models", 0)),
        ({"models": ["sambert"]}, ("models", 0)),
    ],
)
def test_a_condition_that_cannot_hold_is_a_warning(when: dict[str, Any], path: tuple[str | int, ...]) -> None:
    finding = only(findings({"when": when}))
    assert (finding.path, finding.severity) == (("rules", 0, "when", *path), "warning")


def test_a_rule_whose_engines_speak_none_of_its_languages_is_a_warning() -> None:
    finding = only(findings({"when": {"languages": ["fr", "ja"]}, "use": ["indextts", "sambert"]}))
    assert (finding.path, finding.severity) == (("rules", 0, "use"), "warning")
    assert "speaks fr or ja" in finding.message


def test_a_language_that_no_engine_of_the_rule_speaks_is_a_warning() -> None:
    finding = only(findings({"when": {"languages": ["zh", "en"]}, "use": ["sambert"]}))
    assert finding.path == ("rules", 0, "when", "languages", 1)
    assert "'en'" in finding.message


def test_an_engine_of_which_nothing_is_known_may_speak_anything() -> None:
    assert findings({"when": {"languages": ["fr"]}, "use": ["sambert", "cloud"]}) == []


def test_a_rule_of_engines_that_do_not_run_is_a_warning() -> None:
    assert only(findings({"use": ["gpu-box"]})).path == ("rules", 0, "use")
    assert only(findings({"use": ["sambert"]}, paused=["sambert"])).path == ("rules", 0, "use")
    assert findings({"use": ["gpu-box", "indextts"]}) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"last_resort": None}, "there is no last resort"),
        ({"last_resort": "gpu-box"}, "not enabled"),
        ({"paused": ["espeak"]}, "is paused"),
    ],
)
def test_a_last_resort_that_is_not_there_is_a_warning(fields: dict[str, Any], words: str) -> None:
    finding = only(findings(ELSE, **fields))
    assert (finding.path, finding.severity) == (("last_resort",), "warning")
    assert words in finding.message


def test_an_alias_that_hides_an_engine_is_a_warning() -> None:
    assert only(findings(ELSE, models={"sambert": "auto"})).path == ("models", "sambert")
    assert findings(ELSE, models={"sambert": "sambert"}) == []


def test_voices_are_not_looked_at_when_none_are_given() -> None:
    policy = Policy.model_validate(
        {
            "version": 1,
            "rules": [{"name": "x", "use": ["espeak"], "when": {"voices": ["any"]}}],
            "last_resort": "espeak",
        }
    )
    assert lint(policy, INFOS, ENABLED) == []
