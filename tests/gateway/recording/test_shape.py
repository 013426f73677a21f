"""Shapes learned from examples: what is needed, what may be there, and of what type."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.recording.shape import Shape

EXAMPLES = [
    {"event": "word", "at": 1.5, "of": {"chars": 3}, "words": [{"text": "a"}, {"text": "b", "tone": 1}]},
    {"event": "word", "at": None, "of": {"chars": 3, "more": ...}, "words": []},
]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"at": 2}, []),  # a whole number is a number
        ({"at": True}, ["at is boolean, known as null or number"]),
        ({"of": {"chars": 1, "more": [1]}}, []),
        ({"of": {"chars": 1.5}}, ["of.chars is number, known as integer"]),
        ({"of": {}}, ["of.chars is missing"]),
        ({"of": None}, ["of is null, known as object"]),
        ({"new": []}, ["new is unknown (array)"]),
        ({"words": [{"text": "c", "tone": 2}, {"tone": 2}]}, ["words[].text is missing"]),
        ({"words": [{"text": "c", "tone": "2"}]}, ["words[].tone is string, known as integer"]),
    ],
)
def test_a_message_is_compared_with_examples(change: dict[str, Any], told: list[str]) -> None:
    assert list(Shape(EXAMPLES).differences(EXAMPLES[0] | change)) == told


def test_a_field_of_any_name_may_be_known() -> None:
    voices = Shape([{"count": 1, ...: ["path"]}])
    assert list(voices.differences({"count": 2, "anna": ["a"], "ben": ["b", 3]})) == [
        "ben[] is integer, known as string"
    ]


def test_an_empty_list_says_nothing_of_what_stands_in_it() -> None:
    assert list(Shape([{"words": []}]).differences({"words": [1, {}]})) == []


def test_what_is_no_object_at_all_is_told() -> None:
    assert list(Shape(EXAMPLES).differences([1])) == ["it is array, known as object"]
