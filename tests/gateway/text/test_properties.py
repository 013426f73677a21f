"""What holds for every text: nothing is lost or repeated, no clause is too long, no text takes for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.errors import InvalidRequest
from gateway.text.characters import SPEAKABLE, clean, drop_emoji
from gateway.text.clauses import LONGEST, weigh
from gateway.text.paragraphs import read_paragraphs
from gateway.text.prepare import iter_scripts, prepare_text
from gateway.text.script import Script

WORDS = st.sampled_from(
    [
        "Dr. ",
        "hello ",
        "World. ",
        "e.g. ",
        "3.5",
        "1,234.50 ",
        "v2.0.1 ",
        "https://a.b/c?d=e ",
        "a.b@c.com ",
        "Node.js ",
        "你好",
        "今天天气很好",
        "。",
        "！",
        "？！",
        "……",
        "，",
        "；",
        "“",
        "”",
        "「",
        "」",
        "（",
        "）",
        '"',
        "'",
        "’",
        "(",
        ")",
        "[",
        "]",
        "こんにちは",
        "안녕 ",
        "привет ",
        "สวัสดี",
        "— ",
        "——",
        "...",
        "! ",
        "? ",
        ". ",
        ", ",
        ": ",
        "\n",
        "\n\n",
        " ",
        "e\u0301",
        "😀",
        "👨‍👩‍👧",
        "1️⃣",
        "*",
        "**",
        "_",
        "`",
        "~~",
        "# ",
        "- ",
        "1. ",
        "|",
        "```\n",
        "[a](b)",
        "![",
        "<",
        ">",
        "\\",
    ]
)
TEXTS = st.lists(WORDS, max_size=60).map("".join) | st.text(max_size=300)
PLAIN = st.lists(
    st.sampled_from(
        [
            "Dr. ",
            "hello ",
            "World. ",
            "3.5",
            "1,234.50 ",
            "https://a.b/c?d=e ",
            "你好",
            "今天天气很好",
            "。",
            "！",
            "？！",
            "……",
            "，",
            "“",
            "”",
            "「",
            "」",
            "（",
            "）",
            '"',
            "’",
            "こんにちは",
            "안녕 ",
            "สวัสดี",
            "—",
            "——",
            "... ",
            "! ",
            "? ",
            ". ",
            ", ",
            ": ",
            "e\u0301",
        ]
    ),
    max_size=200,
).map("".join)

# sentences that hardly ever end, so that they must be cut
LONG = st.lists(
    st.sampled_from(
        [
            "hello ",
            "1,234.50 ",
            "https://a.b/c?d=e ",
            "天气很好",
            "，",
            "、",
            "；",
            "……",
            "—",
            ", ",
            "（",
            "）",
            "“",
            "。”",
        ]
    ),
    min_size=20,
    max_size=200,
).map("".join)


def squeeze(text: str) -> str:
    return re.sub(r"\s", "", text)


def prepare(text: str) -> Script | None:
    try:
        return prepare_text(text)
    except InvalidRequest:
        return None


@given(TEXTS | LONG)
@settings(max_examples=400, deadline=None)
def test_the_clauses_joined_are_the_prepared_text_up_to_white_space(text: str) -> None:
    prepared = "".join(map(drop_emoji, read_paragraphs(clean(text))))
    script = prepare(text)
    if script is None:
        assert not SPEAKABLE.search(prepared)
    else:
        assert squeeze("".join(clause.text for clause in script.clauses)) == squeeze(prepared)


@given(PLAIN | LONG)
@settings(max_examples=300, deadline=None)
def test_a_text_without_markup_is_spoken_whole(text: str) -> None:
    script = prepare(text)
    if script is not None:
        assert squeeze("".join(clause.text for clause in script.clauses)) == squeeze(clean(text))


@given(PLAIN | LONG | TEXTS)
@settings(max_examples=300, deadline=None)
def test_every_clause_is_short_enough_and_says_something(text: str) -> None:
    for clause in script.clauses if (script := prepare(text)) else ():
        assert SPEAKABLE.search(clause.text)
        assert clause.text == clause.text.strip()
        assert clause.language
        # punctuation that says nothing may be joined to a clause that is full
        assert (
            weigh(clause.text.rstrip(" \"'.,;:!?…—–。！？，；：、”’」』）)]*_`~#|<>\\-")) <= LONGEST
            or len(clause.text) < 170
        )


@given(PLAIN | LONG)
@settings(max_examples=300, deadline=None)
def test_a_number_an_address_and_an_ellipsis_stay_whole(text: str) -> None:
    script = prepare(text)
    if script is not None:
        for whole in ("1,234.50", "https://a.b/c?d=e", "……"):
            assert sum(clause.text.count(whole) for clause in script.clauses) == clean(text).count(whole)


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_preparing_what_was_prepared_finds_the_same_words(text: str) -> None:
    """Clauses may be sent to another gateway, which prepares them again."""
    for clause in script.clauses if (script := prepare(text)) else ():
        again = prepare(clause.text)
        assert again is None or again.chars <= len(clause.text)


@given(st.lists(TEXTS, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_stream_of_pieces_is_spoken_like_the_whole(pieces: list[str]) -> None:
    whole = prepare("".join(pieces))
    try:
        streamed = [clause for script in iter_scripts(pieces) for clause in script.clauses]
    except InvalidRequest:
        streamed = []
    if "```" not in "".join(pieces) and "~~~" not in "".join(
        pieces
    ):  # a fence that never closes is left out of a stream
        assert tuple(streamed) == (whole.clauses if whole else ())


NASTY = [
    "a",
    "a ",
    "a. ",
    "A. ",
    ". ",
    "(",
    "“",
    "“a. ",
    '"a ',
    "'",
    "!?",
    "😀",
    "👨‍👩‍👧",
    "**a ",
    "*a_b",
    "`",
    "`a``b",
    "[",
    "[a](",
    "[a](x(",
    "![",
    "~~a",
    "|a|\n",
    "|",
    "- a\n",
    "# a\n",
    "\n",
    "a\n",
    "```a\n",
    "````\n```\n",
    "好",
    "好。",
    "好，",
    "……",
    "。”",
    "（好。",
    "Dr. ",
    " ",
    "\u3000",
    "\u0301",
    "1.",
    "1,",
    "http://a.b/?c=d",
    "ก",
    "\u200d",
    "a\u200d",
    "—",
    "<http://a",
    ". ( ",
    'he said "go. stay. ',
    "\r",
    "\ud800",
    "“好，",
    "*a* ",
    '[a](b "',
    "\\*",
    "١",
    "ｱ．",
    "...a",
    "'a.",
    "$-",
]


# A limit and no timing: where the cost is linear, each of these takes a second or two; where it is quadratic, billions
# of steps. 20 s are far from both, on a busy machine too, and end a broken run sooner than the usual 60 s.
LINEAR = pytest.mark.timeout(20)


@LINEAR
@pytest.mark.parametrize("unit", NASTY, ids=ascii)
def test_the_cost_of_a_text_grows_with_its_length_alone(unit: str) -> None:
    """A quarter of a mebibyte."""
    prepare("x" + unit * ((256 << 10) // len(unit)))


@LINEAR
@pytest.mark.parametrize(
    "unit", ["[", "![", "*a_b", "`a``b", "> ", "- ", "|a|\n", "<a", "&", "[a](b", "**", "\\", "a\n"]
)
def test_the_cost_of_markdown_grows_with_its_length_alone(unit: str) -> None:
    script = prepare_text("Words. " + unit * ((64 << 10) // len(unit)), input_type="markdown")
    assert script.clauses[0].text.startswith("Words.")
