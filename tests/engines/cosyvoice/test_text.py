"""What is made of texts before the model, against the reference; and of mixed ones, for which it has no good answer."""

import json
import re

import pytest

from engines.cosyvoice.text import read_nothing, segments


def _count(text: str) -> int:
    """About as many tokens as the vocabulary has for plain English."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def _cases(oracle):
    return json.loads((oracle.folder / "13_text.json").read_text(encoding="utf-8"))["text_normalize"]


def test_texts_are_read_out_and_cut_as_the_reference_does(oracle):
    # Where its grammar puts a backslash before a quote, here is the other kind of quote.
    read = [case for case in _cases(oracle) if case["frontend"] == "wetext" and case["text"]]
    assert read
    for case in read:
        expected = [one.replace('\\"', "'") for one in case["segments"]]
        assert segments(case["text"], _count) == expected


def test_texts_that_are_not_to_be_read_out_are_cut_as_the_reference_does(oracle):
    # It spells numbers all the same, and takes the point in one for the end of a sentence.
    plain = [case for case in _cases(oracle) if case["frontend"] == "none" and not re.search(r"\d", case["text"])]
    assert plain
    for case in plain:
        assert segments(case["text"], _count, read_nothing) == [one for one in case["segments"] if one]


def test_each_sentence_is_read_out_in_its_own_language():
    text = "今天3.5度。It is 3.5 degrees. 今日は2024年5月1日です。오늘은 5월 1일 입니다."
    (spoken,) = segments(text, _count)
    assert spoken.startswith("今天三点五度。It is three point five degrees")
    assert "今日は二千二十四年五月一日です" in spoken
    assert spoken.endswith("오늘은 5월 1일 입니다。")


def test_korean_keeps_its_spaces():
    assert segments("오늘은 날씨가 좋습니다", _count, read_nothing) == ["오늘은 날씨가 좋습니다."]
    assert segments("你好 世界 오늘은 좋습니다", _count, read_nothing) == ["你好世界 오늘은 좋습니다。"]


def test_a_point_inside_of_a_word_ends_nothing():
    assert segments("见 example.com 的 v2.1 版", _count, read_nothing) == ["见example.com的v2.1版。"]
    assert segments("See example.com now", _count, read_nothing) == ["See example.com now."]


@pytest.mark.parametrize("text", ["", "   ", "。！？", "...", "🎉", "——"])
def test_there_may_be_nothing_to_say(text):
    assert segments(text, _count) == []


@pytest.mark.parametrize(("word", "count"), [("人工智能，", 4000), ("人" * 999, 5), ("word, ", 2000), ("word ", 2000)])
def test_however_long_a_sentence_is_its_segments_are_not(word, count):
    parts = segments(word * count, _count, read_nothing)
    units = _count if word.isascii() else len
    assert max(map(units, parts)) <= 400
    assert sum(map(len, parts)) >= len(word * count)


def test_a_text_with_tags_is_its_writers_own():
    assert segments("<|zh|>你好, 3", _count) == ["<|zh|>你好, 3"]
