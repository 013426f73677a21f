"""Pinyin with a number for the tone, `gan3`: how a writer says which reading of a character is meant.

A syllable that is a single vowel (a1, e4, o2) is not taken for pinyin: `A4` is paper. It can be had as `<啊|A4>`.
Knows nothing about the text around it.
"""

from __future__ import annotations

import re

_I = "i|ia|ie|iao|iu|ian|in|iang|ing|iong"
_U = "u|ua|uo|uai|ui|uan|un|uang|ue"
_V = "[vü]|[vü]e|[vü]an|[vü]n"
_OPEN = "ai|ei|ao|ou|an|en|ang|eng|er"

# CO2 and Fe3 are none: a bare `o` follows lips, l and y only, a bare `e` neither b, p, f nor w.
#: source of a pattern, to be used without regard to case, for one syllable with its tone
SYLLABLE = (
    rf"(?<![a-zü])(?![bpfw]e[1-5])(?:(?:[zcs]h|[bpmfdtnlgkhjqxrzcsyw])(?:a|e|{_OPEN}|ong|{_I}|{_U}|{_V})|[bpmfwly]o|{_OPEN})"
    r"[1-5](?![0-9])"
)
_SYLLABLE = re.compile(SYLLABLE, re.IGNORECASE)
_FRONT_U = re.compile("^([JQX])U")


def has_pinyin(text: str) -> bool:
    return _SYLLABLE.search(text) is not None


def spell(syllable: str) -> str:
    """As the vocabulary has it: upper case, v for ü, also where pinyin leaves its dots out: xuan4 -> XVAN4."""
    return _FRONT_U.sub(r"\1V", syllable.upper().replace("Ü", "V"))


def spell_all(text: str) -> str:
    """`text` with every syllable in it so spelled."""
    return _SYLLABLE.sub(lambda match: spell(match[0]), text)
