"""From text to ids and segments: exactly the reference's, and sane for any text at all."""

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import InvalidRequest, Unavailable, Unsupported
from engines.indextts.text import Front

# letters of both languages, numbers, all kinds of marks; and then whatever Unicode has
_TEXTS = (
    st.text(st.sampled_from("你好世界一二A4bQz 0159.,!?-…'\"，。？！；：、·—()《》<|>@$%°\\\n\t\u3000é𝟓")) | st.text()
)


@pytest.fixture(scope="module")
def plain(oracle):
    return Front(oracle.checkpoints / "bpe.model", normalise=False)


def test_tokens_are_the_references(oracle, plain):
    for case in oracle.texts():
        assert plain.pieces(case["text"]) == case["tokens"]


@pytest.mark.parametrize(
    ("name", "limits"), [("segments_max20", (20,)), ("segments_max120", (120,)), ("segments_max20_quick8", (20, 8))]
)
def test_segments_are_the_references(oracle, plain, name, limits):
    for case in oracle.texts():
        segments = plain.segments(case["text"], *limits)
        assert segments == case[name]
        assert list(chain(*segments)) == case["ids"]


@settings(max_examples=150, deadline=None)
@given(text=_TEXTS, limit=st.integers(1, 40), first=st.integers(0, 40), language=st.sampled_from(["", "en", "zh"]))
def test_any_text_is_cut_into_short_segments_of_all_its_tokens_or_refused(front, text, limit, first, language):
    try:
        segments = front.segments(text, limit, first, language)
    except (InvalidRequest, Unsupported):
        return
    assert all(0 < len(one) <= limit for one in segments)
    assert [list(chain(*segments))] == front.segments(text, 10**6, 0, language)


def test_a_segment_can_be_said_in_shorter_ones_of_the_same_tokens(oracle, plain):
    for case in oracle.texts():
        for segment in plain.segments(case["text"], 20):
            parts = plain.halves(segment)
            assert list(chain(*parts)) == segment
            assert all(0 < len(one) <= (len(segment) + 1) // 2 for one in parts)


def test_halves_are_cut_at_marks_where_there_are_some(front):
    text = "我们出发，明天晚上再回来。"
    (segment,) = front.segments(text)
    first = len(front.halves(segment)[0])
    assert front.pieces(text)[first - 1].endswith(",")


@pytest.mark.parametrize("text", ["", " \n", "...", "?!", "“”"])
def test_a_text_with_nothing_to_say_is_invalid(front, text):
    with pytest.raises(InvalidRequest, match="nothing to say") as caught:
        front.segments(text)
    assert caught.value.param == "input"


def test_a_text_in_a_script_that_the_vocabulary_lacks_is_for_another_engine(front):
    with pytest.raises(Unsupported, match="another engine"):
        front.segments("Привет, мир.", language="en")


def test_unknown_characters_among_known_ones_do_not_stop_a_text(front):
    assert front.segments("你好мир")


def test_numbers_are_read_out(front):
    assert front.segments("2024年5月1日") == front.segments("二零二四年五月一日")
    assert front.segments("THE PRICE IS $5") == front.segments("the price is five dollars")


def test_a_missing_vocabulary_says_how_to_get_it(tmp_path):
    with pytest.raises(Unavailable, match="pull the bundle"):
        Front(tmp_path / "bpe.model")


def test_twenty_thousand_characters_are_cut_into_full_segments(front):
    segments = front.segments(("你好,世界。" * 31 + "今天是2024年5月1日。") * 100)
    assert all(60 < len(one) <= 120 for one in segments[:-1])
