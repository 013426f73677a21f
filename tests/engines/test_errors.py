"""What errors say to clients, beside what each of them means."""

from __future__ import annotations

import pytest

from engines.errors import near_names


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("narator", ["alloy", "narrator"], "near names: narrator"),
        ("xyz", ["alloy", "narrator"], "no near names; known: alloy, narrator"),
        ("xyz", ["aa", "bb", "cc", "dd", "ee", "ff"], "no near names; known: aa, bb, cc, dd, ee, …"),
        ("xyz", [], "there is none"),
        ("Zhiyan", ["sambert-zhiya-v1", "sambert-eva-v1", "sambert-beth-v1"], "near names: sambert-zhiya-v1"),
        ("EN-US", ["en-us", "de"], "near names: en-us"),
    ],
)
def test_a_name_that_is_not_known_is_told_with_near_ones_or_that_there_are_none(
    name: str, known: list[str], said: str
) -> None:
    assert near_names(name, known) == said


def test_among_very_many_names_the_near_ones_are_found_by_how_they_begin() -> None:
    many = [f"voice-{number:05}" for number in range(20_000)]
    assert near_names("voice-1234x", many).startswith("near names: voice-12")


def test_where_none_is_near_the_common_ones_are_the_examples() -> None:
    assert near_names("xyz", ["aa", "bb", "cc"], common=("cc",)) == "no near names; known: cc, …"
    assert near_names("bbb", ["aa", "bb", "cc"], common=("cc",)) == "near names: bb"
