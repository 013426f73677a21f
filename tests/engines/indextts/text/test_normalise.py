"""What is read out, in which language, and what is left as it was written."""

import pytest

from engines.grammar import Grammar
from engines.indextts.text.characters import space_out, unify
from engines.indextts.text.normalise import choose_language, normalise


@pytest.fixture(scope="module")
def said():
    read = Grammar().read
    return lambda text, language="": unify("".join(normalise(text, read, language)))


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("你好 world", "en", "zh"),
        ("ni3 hao3", "en", "zh"),
        ("hello", "", "en"),
        ("2024", "", "zh"),
        ("2024", "en", "en"),
        ("write to a.b@mail.example.com", "", "zh"),
        ("write to a.b@mail.example.com", "en", "en"),
    ],
)
def test_the_script_decides_the_language_then_the_hint(text, language, expected):
    assert choose_language(text, language) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今天是2024年5月1日", "今天是二零二四年五月一日"),
        ("一共1,234,567人", "一共一百二十三万四千五百六十七人"),
        ("A4纸和CO2", "A四纸和CO二"),  # neither is pinyin
        ("It  cost\n$3.50.", "It cost three point five dollars."),
        ("See #5 and π≈3", "See number five and π≈ three"),  # signs that the English grammar has no path for
        ('a "5" b\\c', "a 'five' b c"),
    ],
)
def test_numbers_become_words(said, text, expected):
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("晕xuan4是一种gan3觉", "晕XVAN4是一种GAN3觉"),
        ("lv3 nü3 jue2 xiong2 jiu3", "LV3 NV3 JVE2 XIONG2 JIU3"),
        ("ni3hao3", "NI3HAO3"),
        ("<重庆|chong2 QING4>有3个", "CHONG2 QING4有三个"),
        ("<啊|A4>3个", "A4三个"),
        ("<重庆市南岸区|chong2 qing4>有3个", "CHONG2 QING4有三个"),
        ("GPT-5-nano很好", "GPT-五-nano很好"),  # no minus
        ("COVID-19 is a state-of-the-art virus", "COVID-nineteen is a state-of-the-art virus"),
        ("约瑟夫·高登2024年5月来", "约瑟夫-高登二零二四年五月来"),
    ],
)
def test_pinyin_readings_terms_and_names_are_kept_from_the_grammars(said, text, expected):
    assert said(text) == expected


def test_the_verb_behind_a_pronoun_is_spelled_out_and_a_genitive_is_not(said):
    assert said("It's John's; she’s here.") == "It is John's, she is here."


def test_a_single_character_is_left_alone_unless_it_is_a_digit(said):
    assert (said("A"), said("$"), said("5", "en"), said("5", "zh")) == ("A", "$", "five", "五")


def test_a_long_text_reads_as_its_sentences_do(said):
    sentence = "Dr. Smith paid $3.50 on May 5, 2024 at 10:30am. "
    assert said(sentence * 30) == " ".join([said(sentence)] * 30)


def test_a_long_text_without_any_mark_reads_every_number(said):
    assert said("第3个" * 500) == "第三个" * 500
    assert said("5 " * 500, "en") == " ".join(["five"] * 500)


def test_marks_are_few():
    assert unify("“你好”：（世界）……\n—真的？！。。。") == "'你好','世界'… -真的?!…"


def test_han_characters_stand_apart_and_letters_are_capitals():
    assert space_out("你好world, 一二é") == "你 好 WORLD, 一 二 É"
