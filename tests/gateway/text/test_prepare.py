"""Texts in, clauses out: the table in cases.yaml, what is refused, what is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from engines.errors import InvalidRequest
from gateway.text.prepare import prepare_text

CASES: list[dict[str, Any]] = YAML(typ="safe").load(Path(__file__).with_name("cases.yaml"))


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case['text'][:24]!r}" for number, case in enumerate(CASES)])
def test_a_text_becomes_these_clauses(case: dict[str, Any]) -> None:
    input_type, hint = case.get("type", "text"), case.get("hint", "")
    if not case["clauses"]:
        with pytest.raises(InvalidRequest):
            prepare_text(case["text"], input_type=input_type, language=hint)
        return
    script = prepare_text(case["text"], input_type=input_type, language=hint)
    assert [clause.text for clause in script.clauses] == case["clauses"]
    if expected := case.get("languages"):
        listed = expected if isinstance(expected, list) else [expected] * len(script.clauses)
        assert [clause.language for clause in script.clauses] == listed


def test_the_table_is_large_enough_to_mean_something() -> None:
    assert len(CASES) >= 120


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\t",
        "!!!",
        "……",
        "。",
        "——",
        "😀🎉",
        "👨‍👩‍👧",
        "***",
        "---\n===",
        "```\nx\n```",
        "\0\ufeff\u200b",
        "()“”",
        "\ud800",
    ],
)
def test_a_text_with_nothing_to_say_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="nothing to say") as caught:
        prepare_text(text)
    assert caught.value.param == "input"


def test_characters_are_counted_without_markup_and_with_white_space_folded() -> None:
    assert prepare_text("  Hello   world. ").chars == len("Hello world.")
    assert prepare_text("**Hello** [world](https://example.org).").chars == len("Hello world.")
    assert prepare_text("你好。\n\n\n再见。").chars == len("你好。 再见。")
    assert prepare_text("Hi 😀").chars == len("Hi 😀")  # an emoji is not spoken, but it is not markup either


def test_the_most_frequent_language_comes_first() -> None:
    assert prepare_text("Hi. 今天天气很好，我们去公园散步吧。").languages == ("zh", "en")
    assert prepare_text("A rather long English sentence. 你好。").languages == ("en", "zh")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("今天的天气非常好我们一起去公园里散步吧好", 5.2),  # espeak-ng, 20 Mandarin characters
        (
            "The quick brown fox jumps over the lazy dog and then it sleeps a while under the old apple tree there.",
            5.45,
        ),
    ],
)
def test_the_estimate_of_the_duration_is_near_what_was_measured(text: str, seconds: float) -> None:
    assert prepare_text(text).audio_s == pytest.approx(seconds, rel=0.25)


def test_a_bad_language_tag_is_refused_with_what_is_expected() -> None:
    with pytest.raises(InvalidRequest, match="expected is one like zh, en") as caught:
        prepare_text("Hello", language="english")
    assert caught.value.param == "language"
