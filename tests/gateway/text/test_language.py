"""Language tags, and languages found by script."""

from __future__ import annotations

import pytest

from engines.errors import InvalidRequest
from gateway.text.language import find_language, normalise_tag


@pytest.mark.parametrize(
    ("tag", "base"),
    [
        ("", ""),
        ("auto", ""),
        ("zh", "zh"),
        ("zh-CN", "zh"),
        ("zh_CN", "zh"),
        ("zh-Hans-CN", "zh"),
        ("zh-TW", "zh"),
        ("cmn", "zh"),
        ("cmn-Hans", "zh"),
        ("zh-cmn-Hant-HK", "zh"),
        ("zh-HK", "yue"),
        ("zh-Hant-HK", "yue"),
        ("zh-MO", "yue"),
        ("zh-yue", "yue"),
        ("yue", "yue"),
        ("yue-HK", "yue"),
        ("en-US", "en"),
        ("EN", "en"),
        ("eng", "en"),
        ("swe", "sv"),
        ("pt-BR", "pt"),
        ("nb-NO", "nb"),
        ("nn", "nn"),
        ("no", "nb"),
        ("ja-JP", "ja"),
        ("iw", "he"),
        ("de-1996", "de"),
        ("es-419", "es"),
    ],
)
def test_a_tag_becomes_its_base_code(tag: str, base: str) -> None:
    assert normalise_tag(tag) == base


@pytest.mark.parametrize("tag", ["english", "中文", "e", "en US", "en-", "-en", "../x", "en\n", "x" * 1000])
def test_what_is_not_a_tag_is_refused(tag: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        normalise_tag(tag)
    assert caught.value.param == "language"
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("sentence", "hint", "language"),
    [
        ("Bonjour", "fr", "fr"),
        ("Bonjour", "", "en"),
        ("Bonjour", "ru", "en"),
        ("Ångström", "sv", "sv"),
        ("漢字", "ja", "ja"),
        ("漢字かな", "zh", "ja"),
        ("漢字", "yue", "yue"),
        ("漢字", "en", "zh"),
        ("漢字", "fr", "zh"),
        ("한국어", "", "ko"),
        ("ы", "", "ru"),
        ("ґанок", "", "uk"),
        ("мир", "sr", "sr"),
        ("یہ ٹھیک ہے", "", "ur"),
        ("مرحبا", "ur", "ur"),
        ("मराठी", "mr", "mr"),
        ("", "zh", ""),
        ("123 !", "", ""),
        ("你好 means hello in that language of the north", "", "en"),
        ("用 Rust 写的", "", "zh"),
        ("AB 的", "", "zh"),
        ("ｶﾀｶﾅ", "", "ja"),
        ("张三·李四", "", "zh"),
        ("😀", "", ""),
        ("Chinese 中文 Japanese Korean and so on", "zh", "en"),
        ("Bonjou tout moun", "ht", "ht"),
        ("nuqneH", "tlh", "tlh"),
        ("你好", "tlh", "zh"),
        ("Привет", "tlh", "ru"),
    ],
)
def test_the_script_decides_and_the_hint_decides_within_it(sentence: str, hint: str, language: str) -> None:
    assert find_language(sentence, hint) == language
