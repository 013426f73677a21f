"""What the model is given to say: phonemes of Mandarin in both alphabets, of English, and of both in one text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engines.kokoro.letters import respell
from engines.kokoro.mandarin import spell
from engines.kokoro.pieces import cut
from engines.kokoro.reading import Reader
from engines.kokoro.vocabulary import Vocabulary
from tests.engines.kokoro.tiny import V1_0, V1_1


@pytest.fixture(scope="module", params=[V1_0, V1_1], ids=["v1.0", "v1.1-zh"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    reader = Reader(Vocabulary(request.param))
    yield reader
    reader.close()


@pytest.fixture(scope="module")
def ipa() -> Iterator[Reader]:
    reader = Reader(Vocabulary(V1_0))
    yield reader
    reader.close()


@pytest.mark.parametrize(
    ("text", "phonemes"),
    [
        ("你好", "ni↓xau↓"),  # tones as a dictionary has them: the model itself says them as they are spoken
        ("中国，日子。", "ꭧʊ→ŋkwo↗, ɻɨ↘ʦɨ."),
        ("银行", "i↗nxa↗ŋ"),
        ("女儿哦", "ny↓ɚ↗ ɔ↗"),
        ("自由", "ʦɨ↘jou↗"),
        ("“好”", "“xau↓”"),
    ],
)
def test_mandarin_for_v1_0_is_ipa_with_arrows(text: str, phonemes: str) -> None:
    assert spell(text, "ipa") == phonemes


@pytest.mark.parametrize(
    ("text", "signs"),
    [
        ("你好", "ㄋㄧ2ㄏㄠ3"),  # as they are spoken
        ("中国，日子。", "ㄓ中1ㄍ我2, ㄖ十4ㄗㄭ5."),
        ("今天天气", "ㄐ阴1ㄊ言1/ㄊ言1ㄑㄧ4"),
        ("小院儿", "ㄒ要3/元R4"),
        ("女儿", "ㄋㄩ3ㄦ2"),
        ("自由", "ㄗㄭ4又2"),
    ],
)
def test_mandarin_for_v1_1_is_bopomofo_with_digits(text: str, signs: str) -> None:
    assert spell(text, "bopomofo").replace("/", "") == signs.replace("/", "")


def test_words_of_mandarin_are_told_apart() -> None:
    assert "/" in spell("我们一起去公园散步吧", "bopomofo")
    assert " " in spell("我们一起去公园散步吧", "ipa")


@pytest.mark.parametrize(
    ("ipa", "voice", "letters"),
    [
        ("həlˈoʊ wˈɜːld", "en-us", "həlˈO wˈɜɹld"),
        ("həlˈəʊ wˈɜːld", "gmw/en", "həlˈQ wˈɜːld"),
        ("tʃˈeə", "gmw/en", "ʧˈɛː"),
        ("bˈɑːɾəl", "en-us", "bˈɑTᵊl"),
        ("dʒˈʌdʒ", "en-us", "ʤˈʌʤ"),
        ("tˈaɪm", "es", "tˈIm"),
    ],
)
def test_ipa_of_espeak_becomes_the_letters_of_the_model(ipa: str, voice: str, letters: str) -> None:
    assert respell(ipa, voice) == letters


def test_both_languages_of_a_text_are_said_in_one_line(reader: Reader) -> None:
    (line,) = reader.sentences("我用 iPhone 15 打电话，very good。", "zh", "en-us")
    assert "fˈOn" in line
    assert "vˈɛɹi ɡˈʊd" in line
    assert ("tjɛ↘n" in line) != ("ㄉ言4" in line)
    assert line.endswith(".")


def test_sentences_of_both_languages_come_one_by_one(reader: Reader) -> None:
    found = reader.sentences("你好。Hello, it costs 3.5 dollars. 再见！", "en", "en-us")
    assert len(found) == 3
    assert found[1].count(".") == 1


def test_a_full_stop_before_a_closing_quote_ends_no_sentence(reader: Reader) -> None:
    assert len(reader.sentences("“好吗？”他说。", "zh", "en-us")) == 1


def test_numbers_are_said_in_the_language_that_is_asked_for(ipa: Reader) -> None:
    assert ipa.sentences("3.5%", "en", "en-us") == ["θɹˈi pYnt fˈIv pəɹsˈɛnt"]
    assert ipa.sentences("3.5% 好", "en", "en-us") == ["θɹˈi pYnt fˈIv pəɹsˈɛnt xau↓"]
    assert ipa.sentences("涨了3.5%", "zh", "en-us") == ipa.sentences("涨了百分之三点五", "zh", "en-us")


@pytest.mark.parametrize("text", ["", " ", "…", "!?", "🙂", "“”"])
def test_what_has_no_sound_gives_no_sentence(reader: Reader, text: str) -> None:
    assert reader.sentences(text, "zh", "en-us") == []


def test_only_what_the_model_knows_is_left() -> None:
    reader = Reader(Vocabulary({symbol: number for symbol, number in V1_0.items() if symbol not in "ˈW↓"}))
    lines = reader.sentences("How now — 你好。", "zh", "en-us")
    reader.close()
    assert lines == ["hˌ n; nixau."]


def test_what_is_too_long_is_cut_at_the_best_pause() -> None:
    text = "aaaa bbbb, cccc dddd, eeee ffff; gggg hhhh"
    pieces = list(cut(text, 24))
    assert pieces == ["aaaa bbbb, cccc dddd,", "eeee ffff; gggg hhhh"]
    assert list(cut(text, 36)) == ["aaaa bbbb, cccc dddd, eeee ffff;", "gggg hhhh"]
    assert list(cut("a" * 50, 20)) == ["a" * 20, "a" * 20, "a" * 10]
    assert list(cut("  ")) == []
