"""policies.yaml as it may be written, and every way in which it is refused: the place, and words that help."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from policies.policy import Policy, Terms, Use


def policy(*rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "rules": [{"name": f"rule {i}", "use": ["a"], **rule} for i, rule in enumerate(rules)],
        **fields,
    }


def errors(data: object) -> dict[tuple[str | int, ...], str]:
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate(data)
    found = caught.value.errors()
    by_place = {one["loc"]: one["msg"] for one in found}
    assert len(by_place) == len(found)
    return by_place


def test_the_example_of_the_documentation_is_read() -> None:
    read = Policy.model_validate(
        {
            "version": 1,
            "defaults": {"first_audio_ms": 8000, "order": "listed", "retries": 1, "on_interruption": "continue"},
            "models": {"tts-1": "auto"},
            "paused": [],
            "rules": [
                {"name": "short", "when": {"max_chars": 40, "languages": ["zh", "en"]}, "use": ["indextts", "sambert"]},
                {"name": "trial", "order": "weighted", "use": ["indextts", {"engine": "sambert", "weight": 3}]},
                {"name": "else", "use": ["indextts", "sambert"], "order": "fastest", "hedge_after_ms": 300},
            ],
            "last_resort": "espeak",
        }
    )
    assert read.rules[1].use == (Use(engine="indextts"), Use(engine="sambert", weight=3))
    assert [terms.order for _, terms in read.ruled] == ["listed", "weighted", "fastest"]
    assert read.ruled[2][1] == Terms(order="fastest", hedge_after_ms=300)


def test_a_rule_may_switch_off_what_the_defaults_switch_on() -> None:
    read = Policy.model_validate(
        policy({"retries": 0, "allow_refused_fallback": False}, defaults={"retries": 3, "allow_refused_fallback": True})
    )
    assert (read.ruled[0][1].retries, read.ruled[0][1].allow_refused_fallback) == (0, False)


WRONG: list[tuple[dict[str, Any], tuple[str | int, ...], str]] = [
    ({"wenn": {}}, ("wenn",), "did you mean when?"),
    ({"when": {"max_char": 3}}, ("when", "max_char"), "did you mean max_chars"),
    ({"when": {"not": {"max_char": 3}}}, ("when", "not", "max_char"), "did you mean max_chars"),
    ({"when": {"not": {}}}, ("when", "not"), "take it out"),
    ({"when": {"min_chars": 41, "max_chars": 40}}, ("when", "max_chars"), "40 is less than min_chars 41"),
    ({"when": {"max_chars": -1}}, ("when", "max_chars"), "greater than or equal to 0"),
    ({"when": {"languages": "zh"}}, ("when", "languages"), "write [zh]"),
    ({"when": {"languages": []}}, ("when", "languages"), "is empty"),
    ({"when": {"languages": ["zh", "en-US"]}}, ("when", "languages", 1), "write 'en'"),
    ({"when": {"formats": ["mp3", "mp4"]}}, ("when", "formats", 1), "'wav'"),
    ({"when": {"load_above": {"a": "much"}}}, ("when", "load_above", "a"), "number"),
    ({"when": {"load_above": {"a": float("inf")}}}, ("when", "load_above", "a"), "finite"),
    ({"when": {"load_above": {}}}, ("when", "load_above"), "at least 1"),
    ({"when": {"share": {"percent": 101}}}, ("when", "share", "percent"), "100"),
    ({"when": {"share": {"percent": 5, "by": "moon"}}}, ("when", "share", "by"), "'request'"),
    ({"when": {"hours": "at night"}}, ("when", "hours"), "22:00-06:00 Asia/Shanghai"),
    ({"when": {"hours": "22:00-25:00"}}, ("when", "hours"), "25:00 is no time of day"),
    ({"when": {"hours": "22:60-23:00"}}, ("when", "hours"), "22:60 is no time of day"),
    ({"when": {"hours": "08:00-08:00"}}, ("when", "hours"), "take `hours` out"),
    ({"when": {"hours": "08:00-09:00 Asia/Shangai"}}, ("when", "hours"), "did you mean Asia/Shanghai"),
    ({"when": {"hours": "08:00-09:00 Asia"}}, ("when", "hours"), "unknown time zone 'Asia'"),
    ({"when": {"hours": "08:00-09:00 ../etc"}}, ("when", "hours"), "unknown time zone"),
    ({"when": {"hours": 8}}, ("when", "hours"), "are no hours"),
    ({"use": []}, ("use",), "name at least one"),
    ({"use": "a"}, ("use",), "write [a]"),
    ({"use": [3]}, ("use", 0), "should be an engine's name"),
    ({"use": [""]}, ("use", 0, "engine"), "at least 1 character"),
    ({"use": ["a", "b", "a"]}, ("use", 2), "listed twice"),
    ({"use": ["a", {"engine": "a"}]}, ("use", 1), "listed twice"),
    ({"use": [{"engine": "a", "weight": 2}]}, ("use", 0, "weight"), "order: weighted"),
    ({"use": [{"engine": "a", "weight": 0}], "order": "weighted"}, ("use", 0, "weight"), "greater than 0"),
    ({"use": [{"engin": "a", "engine": "b"}]}, ("use", 0, "engin"), "did you mean engine?"),
    ({"order": "quickest"}, ("order",), "'fastest'"),
    ({"retries": 11}, ("retries",), "10"),
    ({"first_audio_ms": 0}, ("first_audio_ms",), "greater than 0"),
    ({"cache": "maybe"}, ("cache",), "'bypass'"),
]


@pytest.mark.parametrize(("rule", "place", "words"), WRONG, ids=lambda one: str(one)[:60])
def test_a_wrong_rule_is_refused_at_its_place(rule: dict[str, Any], place: tuple[str | int, ...], words: str) -> None:
    found = errors(policy({}, rule))
    assert list(found) == [("rules", 1, *place)]
    assert words in found["rules", 1, *place]


def test_a_wrong_whole_is_refused_at_its_place() -> None:
    assert list(errors({"version": 2, "rules": [{"name": "x", "use": ["a"]}]})) == [("version",)]
    assert "is empty" in errors({"version": 1, "rules": []})["rules",]
    assert "did you mean last_resort?" in errors(policy({}, last_resrt="a"))["last_resrt",]
    assert "write [a]" in errors(policy({}, paused="a"))["paused",]
    assert ("models", "tts-1") in errors(policy({}, models={"tts-1": ""}))
    assert ("defaults", "gap_ms") in errors(policy({}, defaults={"gap_ms": "soon"}))
    assert () in errors(None)


def test_names_of_rules_are_unique() -> None:
    found = errors(policy({"name": "twice"}, {}, {"name": "twice"}))
    assert found == {("rules", 2, "name"): "rule 1 is named 'twice' too: give each its own name"}


def test_a_weight_needs_the_order_that_is_in_effect() -> None:
    weights = [{"engine": "a", "weight": 2}]
    Policy.model_validate(policy({"use": weights, "order": "weighted"}))
    Policy.model_validate(policy({"use": weights}, defaults={"order": "weighted"}))
    overridden = policy({"use": weights, "order": "listed"}, defaults={"order": "weighted"})
    assert list(errors(overridden)) == [("rules", 0, "use", 0, "weight")]


def test_all_errors_are_told_at_once() -> None:
    wrong = policy(
        {"name": "same", "when": {"hours": "never", "max_chars": "many"}},
        {"name": "same", "use": [{"engine": "a", "weight": 2}, "a"], "order": "listed"},
        {"use": ["a", 3], "ordr": "listed"},
        defaults={"gap_ms": 0},
    )
    assert set(errors(wrong)) == {
        ("rules", 0, "when", "hours"),
        ("rules", 0, "when", "max_chars"),
        ("rules", 1, "name"),
        ("rules", 1, "use", 0, "weight"),
        ("rules", 1, "use", 1),
        ("rules", 2, "use", 1),
        ("rules", 2, "ordr"),
        ("defaults", "gap_ms"),
    }


@pytest.mark.parametrize("junk", [3, "x", [], [3], {"rules": 3}, {"rules": [3, None, {"use": {"a": 1}, "name": []}]}])
def test_junk_is_refused_and_never_breaks_the_check(junk: object) -> None:
    assert errors(junk)


def test_braces_in_a_name_are_shown_as_they_are() -> None:
    found = errors(policy({"name": "{loc} {x}"}, {"name": "{loc} {x}"}))
    assert "'{loc} {x}'" in found["rules", 1, "name"]


def test_the_schema_for_editors_takes_an_engine_by_its_name_alone() -> None:
    definitions = Policy.model_json_schema(by_alias=True)["$defs"]
    assert {"type": "string"} in definitions["Rule"]["properties"]["use"]["items"]["anyOf"]
    assert definitions["Rule"]["properties"]["use"]["minItems"] == 1
    assert "not" in definitions["When"]["properties"]
    assert {"22:00-06:00 Asia/Shanghai"} == set(definitions["When"]["properties"]["hours"]["anyOf"][0]["examples"])


def test_a_policy_that_was_read_is_written_and_read_again_as_the_same() -> None:
    read = Policy.model_validate(
        policy({"when": {"hours": "9:00-24:00 UTC", "not": {"share": {"percent": 5}}}, "order": "weighted"})
    )
    written = read.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert written["rules"][0]["when"]["hours"] == "09:00-24:00 UTC"
    assert Policy.model_validate(written) == read
