"""Tones as they are spoken, in words and from one to the next."""

from __future__ import annotations

import pytest

from engines.phonemes.pinyin import words
from engines.phonemes.sandhi import spoken


def tones(text: str) -> str:
    return "".join(
        str(one.tone) if word.syllables else "," for word in spoken(words(text, sandhi=False)) for one in word.syllables
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("你好", "23"),
        ("很好", "23"),  # two words
        ("我很好", "323"),
        ("展览馆", "223"),
        ("好书", "31"),
        ("不贵", "24"),
        ("不去", "24"),
        ("不好", "43"),
        ("好不好", "353"),
        ("一遍", "24"),
        ("一万", "24"),
        ("一天", "41"),
        ("一年", "42"),
        ("一百", "43"),
        ("看一看", "454"),
        ("第一遍", "414"),
        ("十一月", "214"),
        ("统一", "31"),
        ("一二三", "141"),
    ],
)
def test_tones_change_as_they_are_spoken(text: str, said: str) -> None:
    assert tones(text) == said


def test_nothing_changes_over_a_comma_and_nothing_is_lost() -> None:
    assert tones("很，好") == "33"
    assert "".join(word.text for word in spoken(words("很，好 abc 不", sandhi=False))) == "很，好 abc 不"
