"""Long sentences cut into clauses."""

from __future__ import annotations

import pytest

from gateway.text.clauses import LONGEST, LONGEST_FIRST, cut_clauses, join_unspeakable, weigh
from gateway.text.prepare import prepare_text


def clauses(text: str, **options: str) -> list[str]:
    return [clause.text for clause in prepare_text(text, **options).clauses]  # type: ignore[arg-type]


def test_a_short_sentence_is_one_clause() -> None:
    sentence = "今天天气很好，我们去公园散步，然后回家吃饭。"
    assert cut_clauses(sentence, first=True) == [sentence]


def test_the_first_clause_of_a_long_first_sentence_is_short_so_that_sound_starts_early() -> None:
    head, rest = (
        "今天早上天气非常好，",
        "我们全家人一起去城外的公园里散步，看见许多盛开的花，还有不少正在放风筝的孩子。",
    )
    assert clauses(head + rest) == [head, rest]
    assert clauses("短句。" + head + rest) == ["短句。", head + rest]


def test_a_first_border_that_leaves_a_scrap_is_passed_over() -> None:
    text = "好，今天早上天气非常好，我们全家人一起去城外的公园里散步，看见许多盛开的花，还有孩子。"
    assert clauses(text)[0] == "好，今天早上天气非常好，"


def test_a_long_sentence_is_cut_at_clause_borders_into_balanced_pieces() -> None:
    part = "and then we walked along the river for an hour, "
    pieces = cut_clauses((part * 5).strip())
    assert len(pieces) == 2
    assert all(piece.endswith("hour,") for piece in pieces)
    assert max(map(len, pieces)) < 160


def test_a_full_width_semicolon_is_a_border() -> None:
    text = "我们先把所有的材料都准备齐全并且检查了一遍又一遍直到没有任何错误；"
    text += "然后再把它们按照顺序一件一件地放进箱子里面并且贴上清楚的标签送走。"
    assert cut_clauses(text)[0].endswith("；")


def test_a_long_quotation_is_cut_at_its_own_sentences() -> None:
    inner = "我昨天去了一趟很远的地方见了老朋友。" * 5
    pieces = cut_clauses(f"他说：“{inner}”")
    assert len(pieces) > 1
    assert all(piece.endswith(("。", "。”")) for piece in pieces)
    assert "".join(pieces) == f"他说：“{inner}”"


@pytest.mark.parametrize(
    "token", ["1,234,567.89", "https://example.org/a,b;c?d=e:f", "10:30:45", "snake_case_name", "café"]
)
def test_a_clause_is_never_cut_inside_a_number_an_address_or_a_word(token: str) -> None:
    words = [token] * 60
    pieces = cut_clauses(" ".join(words))
    assert len(pieces) > 1
    assert " ".join(pieces).split(" ") == words


def test_han_without_punctuation_is_cut_between_characters_within_the_limit() -> None:
    text = "天" * 1000
    pieces = cut_clauses(text)
    assert "".join(pieces) == text
    assert max(map(weigh, pieces)) <= LONGEST


def test_a_hard_cut_leaves_a_letter_with_its_accents_and_a_number_whole() -> None:
    pieces = cut_clauses("q\u0307" * 400)
    assert all(piece[0] == "q" for piece in pieces)
    pieces = cut_clauses("天" * 55 + "1234567890" + "天" * 80)
    assert any("1234567890" in piece for piece in pieces)


def test_closing_punctuation_never_begins_a_clause() -> None:
    text = "“" + "天气很好我们去公园散步" * 5 + "，”" + "他说完之后就走出了房间再也没有回来过" * 3
    assert all(piece[0] not in "，”。" for piece in cut_clauses(text, first=True))


def test_a_word_longer_than_a_clause_is_cut_all_the_same() -> None:
    assert max(map(weigh, cut_clauses("a" * 5000))) <= LONGEST


def test_limits_mean_what_they_say() -> None:
    assert weigh("a" * 160) == weigh("天" * 60) == LONGEST
    assert weigh("天" * 40) == LONGEST_FIRST


def test_a_clause_of_punctuation_alone_joins_its_neighbour() -> None:
    assert join_unspeakable([("——", "zh"), ("你好", "zh"), ("…", "zh"), ("Hi", "en"), ("!", "en")]) == [
        ("—— 你好 …", "zh"),
        ("Hi !", "en"),
    ]


def test_the_clauses_of_a_sentence_share_its_language() -> None:
    script = prepare_text("我们使用 Visual Studio Code 写代码，" * 4, language="zh")
    assert len(script.clauses) > 1
    assert {clause.language for clause in script.clauses} == {"zh"}
