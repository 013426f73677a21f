"""How tones change in a Mandarin sentence: third tones before third tones, 不 and 一. Pure; knows no voice's symbols.

pypinyin changes them only in the phrases of its own dictionary. Here they change by the rules of Standard Chinese
(https://en.wikipedia.org/wiki/Standard_Chinese_phonology#Tone_sandhi), in words and from one word to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from engines.phonemes.pinyin import Syllable, Word

#: before these, or behind them, 一 is a number that is read digit by digit, or counts in order
_NUMERALS = frozenset("零〇一二三四五六七八九")
_ORDINAL_BEFORE = _NUMERALS | frozenset("第初十点之")
_ORDINAL_BEHIND = _NUMERALS | frozenset("月号")
_MEASURE = "个"


def spoken(words: Iterable[Word]) -> list[Word]:
    """The words with their tones as they are spoken; they come with those of a dictionary.

    What has no syllables, such as a comma, is a border over which nothing changes.
    """
    found: list[Word] = []
    run: list[Word] = []
    for word in words:
        if word.syllables and len(word.syllables) == len(word.text):
            run.append(word)
        else:
            found += [*_changed(run), word]
            run = []
    return found + _changed(run)


def _changed(words: Sequence[Word]) -> list[Word]:
    """Words between two borders."""
    text = "".join(word.text for word in words)
    tones = [one.tone for word in words for one in word.syllables]
    starts = accumulate((len(word.text) for word in words), initial=0)
    places = [range(start, end) for start, end in pairwise(starts)]
    ends = {place[-1] for place in places if len(place) > 1}
    for at, char in enumerate(text):
        if char == "不":
            tones[at] = _negation(text, tones, at)
        elif char == "一":
            tones[at] = _one(text, tones, at, ends)
    _change_third(tones, places)
    return [
        replace(word, syllables=tuple(_with(one, tones[at]) for one, at in zip(word.syllables, place, strict=True)))
        for word, place in zip(words, places, strict=True)
    ]


def _with(one: Syllable, tone: int) -> Syllable:
    return one if one.tone == tone else replace(one, tone=tone)


def _negation(text: str, tones: Sequence[int], at: int) -> int:
    if _is_between_equals(text, at):
        return 5
    return 2 if at + 1 < len(tones) and tones[at + 1] == 4 else tones[at]


def _one(text: str, tones: Sequence[int], at: int, ends: set[int]) -> int:
    if _is_between_equals(text, at):
        return 5
    alone = at + 1 == len(text) or at in ends
    if alone or text[at + 1] in _ORDINAL_BEHIND or (at and text[at - 1] in _ORDINAL_BEFORE):
        return 1
    behind = tones[at + 1]
    if behind == 5 and text[at + 1] != _MEASURE:
        return tones[at]
    return 2 if behind in (4, 5) else 4


def _is_between_equals(text: str, at: int) -> bool:
    """As in 好不好 and 看一看, where it is hardly heard."""
    return 0 < at < len(text) - 1 and text[at - 1] == text[at + 1]


def _change_third(tones: list[int], words: Sequence[range]) -> None:
    """In a word all but the last of several in a row; and a word of one syllable before a word that begins with one."""
    for word in words:
        for at, behind in pairwise(word):
            if tones[at] == 3 == tones[behind]:
                tones[at] = 2
    for word, behind_it in reversed(list(pairwise(words))):
        if len(word) == 1 and tones[word[0]] == 3 == tones[behind_it[0]]:
            tones[word[0]] = 2
