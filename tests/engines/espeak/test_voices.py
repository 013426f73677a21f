from __future__ import annotations

import ctypes
import re

import pytest

from engines.contract import Engine, SpeechRequest
from engines.errors import Unsupported
from engines.espeak.binding import Library
from engines.espeak.generate import table, write
from engines.espeak.voices import TABLE, VARIANTS, Catalogue
from engines.phonemes.espeak import _Voice
from engines.testing import rms, seconds, speak_all


def test_the_committed_table_is_what_the_library_has(library: Library) -> None:
    assert TABLE.read_text(encoding="utf-8") == write(table(library))


def current_voice(library: Library) -> str:
    """The identifier of the voice in use: nobody but this test asks the library for it."""
    get_voice = library._lib.espeak_GetCurrentVoice
    get_voice.restype, get_voice.argtypes = ctypes.POINTER(_Voice), ()
    voice = get_voice()
    return (voice.contents.identifier or b"").decode() if voice else ""


def test_every_voice_with_every_variant_can_be_set(library: Library, capfd: pytest.CaptureFixture[str]) -> None:
    for voice in Catalogue.load().base_voices:
        for variant in ("", *(f"+{name}" for name in VARIANTS)):
            library.set_voice(voice.file + variant)
            assert current_voice(library).startswith(voice.file), voice
    assert "dictionary" not in capfd.readouterr().err


async def test_every_language_speaks(engine: Engine) -> None:
    for language in sorted(engine.info.languages):
        # these three name no digits
        text = {"chr": "ᎣᏏᏲ", "cv": "салам", "sjn": "mae govannen"}.get(language, "1 2 3")
        chunks = await speak_all(engine, SpeechRequest(text, language))
        assert seconds(chunks) > 0.3, language
        assert rms(b"".join(chunk.pcm for chunk in chunks)) > 300, language


def test_a_name_that_is_not_found_is_an_error_and_not_the_former_voice(library: Library) -> None:
    library.set_voice("gmw/en-US")
    with pytest.raises(Unsupported, match="zh"):
        library.set_voice("zh")


@pytest.mark.parametrize(
    ("code", "voice"), [("pt_BR", "pt-br"), ("de-AT", "de"), ("zh-Hans-CN", "cmn-latn-pinyin"), ("EN", "en-us")]
)
def test_a_region_falls_back_to_its_language(code: str, voice: str) -> None:
    assert Catalogue.load().choose(code, "", "").id == voice


@pytest.mark.parametrize("voice", ["narrator", "en-us+f9", "en-us+", "../../etc/passwd", "en", "cmn-latn-pinyn"])
def test_an_unknown_voice_is_unsupported_with_near_names(voice: str) -> None:
    with pytest.raises(Unsupported, match=re.escape(repr(voice)) + ".*near names"):
        Catalogue.load().choose("", voice, "")


def test_near_names_are_near() -> None:
    with pytest.raises(Unsupported, match="cmn-latn-pinyin"):
        Catalogue.load().choose("zh", "cmn-latin-pinyin", "")


def test_where_no_name_is_near_that_is_said() -> None:
    with pytest.raises(Unsupported, match="no near names; known: cmn-latn-pinyin, yue, en-us, …"):
        Catalogue.load().choose("", "zzzz", "")


def test_a_voice_of_another_language_is_unsupported() -> None:
    with pytest.raises(Unsupported, match=r"English.*not 'zh'"):
        Catalogue.load().choose("zh", "en-us+f3", "")


@pytest.mark.parametrize("language", ["tlh", "", "x" * 1000, "-"])
def test_an_unknown_language_is_unsupported(language: str) -> None:
    with pytest.raises(Unsupported, match="does not speak"):
        Catalogue.load().choose(language, "", "")


@pytest.mark.parametrize(
    ("language", "text", "readable"),
    [
        ("ja", "きょうは いいてんき", True),
        ("ja", "今日はいい天気", False),
        ("ja", "ひとびと 々", False),
        ("ko", "안녕하세요", True),
        ("ko", "漢字 안녕하세요", False),
        ("hak", "你好", False),
        ("zh", "我喜欢 New York", True),
        ("yue", "你好", True),
        ("en", "The sign 福 stands for luck.", True),
        ("en", "你好世界", False),
    ],
)
def test_han_characters_are_read_or_refused_but_never_named(language: str, text: str, readable: bool) -> None:
    chosen = Catalogue.load().choose(language, "", "")
    if readable:
        chosen.require_readable(text)
    else:
        with pytest.raises(Unsupported):
            chosen.require_readable(text)


@pytest.mark.parametrize(
    ("language", "text", "parts"),
    [
        ("en", "I said 你好 to him.", ["en: I said ", "zh: 你好", "en:  to him."]),
        ("en", "你好, he said, “再见！”", ["zh: 你好", "en: , he said, “", "zh: 再见！”"]),
        ("fr", "Le mot « 你好 ».", ["fr: Le mot « ", "zh: 你好 »."]),
        ("en", "Hello, 5 %.", ["en: Hello, 5 %."]),
        ("zh", "我用 iPhone 打电话。", ["zh: 我用 iPhone 打电话。"]),
    ],
)
def test_chinese_words_among_others_are_parts_for_the_mandarin_voice(
    language: str, text: str, parts: list[str]
) -> None:
    catalogue = Catalogue.load()
    chosen = catalogue.choose(language, "", "female")
    names = {catalogue.choose(code, "", "female").name: code for code in ("zh", "en", "fr")}
    assert [f"{names[name]}: {part}" for name, part in chosen.parts(text)] == parts
    assert "".join(part for _, part in chosen.parts(text)) == text
