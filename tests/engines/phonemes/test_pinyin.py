from __future__ import annotations

import pytest

pytest.importorskip("pypinyin", reason="pip install 'voxgate[piper]'")
pytest.importorskip("rjieba", reason="pip install 'voxgate[piper]'")

from engines.phonemes.pinyin import Syllable, words


def spelt(text: str) -> list[tuple[str, str, int]]:
    return [(one.initial, one.final, one.tone) for word in words(text) for one in word.syllables]


def test_syllables_have_strict_initials_and_whole_finals() -> None:
    assert spelt("流水") == [("l", "iou", 2), ("sh", "uei", 3)]
    assert spelt("吕") == [("l", "v", 3)]
    assert spelt("雨夜") == [("", "v", 3), ("", "ie", 4)]
    assert spelt("嗯") == [("", "n", 2)]


def test_polyphones_and_tones_are_those_of_the_word() -> None:
    assert spelt("银行") == [("", "in", 2), ("h", "ang", 2)]
    assert spelt("你好") == [("n", "i", 2), ("h", "ao", 3)]
    assert spelt("好吗")[1] == ("m", "a", 5)


def test_nothing_of_the_text_is_left_out() -> None:
    text = "今天 3 点，我们去OK店A座。"
    assert "".join(word.text for word in words(text)) == text
    assert next(word.text for word in words(text) if word.syllables) == "今天"


def test_the_vowel_of_zi_is_told_from_that_of_ji() -> None:
    assert Syllable("zhi", "zh", "i", 1).apical
    assert not Syllable("ji", "j", "i", 1).apical


def test_the_usual_spelling_and_the_tones_of_the_dictionary_are_there_too() -> None:
    assert [one.spelling for one in words("流水绿月")[0].syllables + words("绿")[0].syllables] == ["liu", "shui", "lv"]
    assert [one.tone for one in words("你好", sandhi=False)[0].syllables] == [3, 3]
