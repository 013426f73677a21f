"""The text front end: numbers and signs read out, punctuation made uniform, long texts cut into segments.

As in CosyVoice's own inference, with which texts in one language agree; but each sentence of a mixed text is read out
in its own language, and Korean keeps its spaces. Blocks, and is for any thread. Knows nothing about networks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from engines.grammar import Grammar, Language

#: units of a segment: the most that neighbours are joined to, from where on it may end, and below which the last one
#: joins the one before. Characters where a text is of these, else tokens
_JOINED, _LEAST, _REST = 80, 60, 20
#: units from where on a sentence without an end is cut at a comma, or where it is
_LONGEST = 200

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_KANA = "\u3040-\u30ff"
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af"
_IDEOGRAPHIC = re.compile(f"[{_HAN}{_KANA}]")
_SENTENCE = re.compile(r"(?:[^.。！？；!?;\n]|\.(?=\S))*(?:[。！？；!?;\n]|\.(?!\S))*")
#: spaces stay between words: where both neighbours are ASCII or one is Korean
_SPACE = re.compile(rf"(?<![!-~{_HANGUL}]) +(?![{_HANGUL}])|(?<![{_HANGUL}]) +(?![!-~{_HANGUL}])")
_SIGNS = (("²", "平方"), ("³", "立方"), (" - ", "，"), ("——", " "))
_BRACKETS = str.maketrans("", "", "（）【】`")
_POINT = re.compile(r"(?<![0-9a-zA-Z])\.|\.(?![0-9a-zA-Z])")
_TAG = re.compile(r"<\|.*\|>", re.DOTALL)
#: a quote's end belongs to the sentence before it
_QUOTES = "[\"”'’」』]?"
_ENDS_OF_WORDS = re.compile(rf".+?(?:[?!;:]|\.(?![0-9a-zA-Z]))+{_QUOTES}", re.DOTALL)
_ENDS_OF_CHARACTERS = re.compile(rf"[^。？！；：、.?!;]+[。？！；：、.?!;]{_QUOTES}")
_COMMA = re.compile(r"[,，、]")

#: a text's units
Count = Callable[[str], int]
#: reads out the numbers and signs of a text, in a language
Read = Callable[[str, Language], Iterable[str]]


def read_nothing(text: str, language: Language) -> Iterable[str]:
    """For texts that come as they are to be spoken."""
    return (text,)


def segments(text: str, tokens: Count, read: Read | None = None) -> list[str]:
    """What is to be spoken, in parts that are spoken in one go; none where there is nothing to say.

    tokens: counts those of a text. read: `Grammar().read` if None. A text with a tag such as `<|zh|>` stays as it is:
    its writer knows the model.
    """
    if _TAG.search(text):
        return [text]
    spoken = "".join(_read_out(text.strip(), read or Grammar().read))
    if _IDEOGRAPHIC.search(spoken):
        parts = _split(_of_characters(spoken), _ENDS_OF_CHARACTERS, "。？！；：、.?!;", len)
    else:
        parts = _split(spoken, _ENDS_OF_WORDS, ".?!;:", tokens)
    return [part for part in parts if any(map(str.isalnum, part))]


def _read_out(text: str, read: Read) -> Iterator[str]:
    """Each sentence by its own language; one without letters by that of the text."""
    of_text = _language(text, "en")
    for sentence in _SENTENCE.findall(text):
        language = _language(sentence, of_text)
        yield from (sentence,) if language is None else read(sentence, language)


def _language(text: str, otherwise: Language | None) -> Language | None:
    """None: no grammar reads it."""
    if re.search(f"[{_KANA}]", text):
        return "ja"
    if re.search(f"[{_HANGUL}]", text):
        return None
    if re.search(f"[{_HAN}]", text):
        return "zh"
    return "en" if re.search("[A-Za-z]", text) else otherwise


def _of_characters(text: str) -> str:
    text = _SPACE.sub("", text.replace("\n", ""))
    for sign, words in _SIGNS:
        text = text.replace(sign, words)
    text = _POINT.sub("。", text).translate(_BRACKETS)
    return re.sub("[，,、]+$", "。", text)


def _split(text: str, ends: re.Pattern[str], marks: str, units: Count) -> list[str]:
    """Sentences, joined while they are short. The first of the `marks` is put behind a text that ends in none."""
    if not text:
        return []
    sentences = ends.findall(text if text[-1] in marks else text + marks[0])
    joined: list[str] = []
    current = ""
    for sentence in (piece for one in sentences for piece in _cut(one, units)):
        if units(current + sentence) > _JOINED and units(current) > _LEAST:
            joined.append(current)
            current = ""
        current += sentence
    if current and joined and units(current) < _REST:
        joined[-1] += current
    elif current:
        joined.append(current)
    return joined


def _cut(sentence: str, units: Count) -> list[str]:
    """A sentence that is too long, at its commas, or where it is too long."""
    if units(sentence) <= _LONGEST:
        return [sentence]
    middle = len(sentence) // 2
    commas = [one.end() for one in _COMMA.finditer(sentence) if one.end() < len(sentence)]
    at = min(commas, key=lambda place: abs(place - middle), default=middle)
    return [*_cut(sentence[:at], units), *_cut(sentence[at:], units)]
