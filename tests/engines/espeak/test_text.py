from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import InvalidRequest
from engines.espeak.text import clean, parse_ssml, require_speakable


@given(st.text())
def test_cleaning_keeps_the_place_of_every_character(text: str) -> None:
    assert len(clean(text)) == len(text)
    clean(text).encode("utf-8")


def test_no_command_to_the_synthesiser_passes() -> None:
    assert clean("a\x01 90P\x1b\0\x7f\ud800b") == "a  90P    b"


@pytest.mark.parametrize("text", ["", " \n", "……", "!?", "😀", "👩\u200d👩\u200d👧", "（）", "\ufe0f\u0301"])
def test_punctuation_and_emoji_alone_are_nothing_to_say(text: str) -> None:
    with pytest.raises(InvalidRequest, match="nothing to say"):
        require_speakable(text)


@pytest.mark.parametrize("text", ["a", "7", "好", "か", "%", "$", "+", "½", "& 😀"])
def test_letters_digits_and_spoken_signs_are_something_to_say(text: str) -> None:
    require_speakable(text)


@pytest.mark.parametrize(
    ("markup", "safe", "words"),
    [
        ("<speak>Hi</speak>", "<speak>Hi</speak>", "Hi"),
        ("Hi <break time='2s'/> you", '<speak>Hi <break time="2000ms"/> you</speak>', "Hi  you"),
        ("<speak><break time='9999999s'/>x</speak>", '<speak><break time="10000ms"/>x</speak>', "x"),
        ("<speak><audio src='/etc/passwd'>beep</audio></speak>", "<speak>beep</speak>", "beep"),
        ("<speak><voice name='../x'>a &amp; b</voice></speak>", "<speak>a &amp; b</speak>", "a & b"),
        ("<p>a</p>", "<speak><p>a</p></speak>", "a"),
        ("<speak><style>x{}</style>a</speak>", "<speak>a</speak>", "a"),
        ('<speak xmlns="urn:x" xml:lang="en">a</speak>', "<speak>a</speak>", "a"),
    ],
)
def test_ssml_keeps_what_is_safe(markup: str, safe: str, words: str) -> None:
    got, spoken = parse_ssml(markup)
    assert got == safe
    assert spoken.split() == words.split()


@pytest.mark.parametrize(
    "markup",
    [
        "<speak>",
        "a < b",
        '<!DOCTYPE a [<!ENTITY b "c">]><speak>&b;</speak>',
        "<p>" * 40 + "a" + "</p>" * 40,
        "<speak><break time='soon'/>a</speak>",
    ],
)
def test_broken_or_dangerous_ssml_is_refused(markup: str) -> None:
    with pytest.raises(InvalidRequest, match="SSML"):
        parse_ssml(markup)
