from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.contract import SpeechRequest
from engines.errors import Unsupported
from engines.sambert.pieces import cut, pieces_of


@pytest.mark.parametrize(
    ("text", "most", "pieces"),
    [
        ("短。", 10, ["短。"]),
        ("第一句。第二句。第三句。", 9, ["第一句。第二句。", "第三句。"]),
        ("真的？！是。", 5, ["真的？！", "是。"]),
        ("他说“好。”然后走了。", 8, ["他说“好。”", "然后走了。"]),
        ("It is 3.14 here. Yes.", 17, ["It is 3.14 here.", " Yes."]),
        ("It is 3.14159 here", 9, ["It is ", "3.14159 ", "here"]),
        ("一，二，三四五六七", 5, ["一，二，", "三四五六七"]),
        ("一二三四五六七", 3, ["一二三", "四五六", "七"]),
        ("一行\n二行三", 4, ["一行\n", "二行三"]),
    ],
)
def test_a_text_is_cut_where_a_sentence_ends_else_a_part_else_a_word(text: str, most: int, pieces: list[str]) -> None:
    assert list(cut(text, most)) == pieces


@given(st.text(alphabet="一二。，！? .\n”)a", max_size=200), st.integers(1, 30))
def test_nothing_is_lost_and_no_piece_is_too_long(text: str, most: int) -> None:
    pieces = list(cut(text, most))
    assert "".join(pieces) == text
    assert all(len(piece) <= most for piece in pieces)


def test_pieces_without_a_word_are_not_sent() -> None:
    assert pieces_of(SpeechRequest("一二三四五。！！！！！！你好", "zh"), most=6) == ["一二三四五。", "你好"]
    with pytest.raises(Unsupported, match="nothing to speak"):
        pieces_of(SpeechRequest("<speak><break/></speak>", "zh", markup="ssml"))
