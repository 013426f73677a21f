"""Mandarin as syllables: initial, final and tone of each Han character, by pypinyin (MIT), words by rjieba (MIT).

Knows no voice's symbols, and nothing about numbers: what digits and Latin letters become, the caller has seen to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: top-level modules that are imported at use, and what brings each
PACKAGES = {"pypinyin": "pypinyin", "rjieba": "rjieba"}

_HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]+")
#: initials whose final, written i, is a vowel of its own
_APICAL = frozenset({"z", "c", "s", "zh", "ch", "sh", "r"})
_SYLLABLE = re.compile("([a-zêüv]+)([1-5])")


@dataclass(frozen=True, slots=True)
class Syllable:
    """A syllable in the parts of the strict spelling: y and w are no initials, finals are whole (`iou`, `uei`, `uen`).

    `spelling` is the usual one, without tone. `initial` may be empty; ü is v; `tone` is 1 to 5, 5 the neutral one.
    """

    spelling: str
    initial: str
    final: str
    tone: int

    @property
    def apical(self) -> bool:
        """Is its final the vowel of zi and zhi, and not that of ji."""
        return self.final == "i" and self.initial in _APICAL


@dataclass(frozen=True, slots=True)
class Word:
    """A word of Han characters and its syllables; of anything else, the text alone."""

    text: str
    syllables: tuple[Syllable, ...] = ()


def words(text: str, *, sandhi: bool = True) -> list[Word]:
    """The words of a Mandarin text in order, with what is between them; nothing is left out.

    With `sandhi`, tones are as they are spoken in the word: third tones before third tones, 一 and 不; without, as a
    dictionary has them. A character that no dictionary knows has no syllable.
    """
    import rjieba

    found: list[Word] = []
    for piece in rjieba.cut(text):
        done = 0
        for han in _HAN.finditer(piece):
            if han.start() > done:
                found.append(Word(piece[done : han.start()]))
            found.append(Word(han[0], _syllables(han[0], sandhi)))
            done = han.end()
        if piece[done:]:
            found.append(Word(piece[done:]))
    return found


def _syllables(word: str, sandhi: bool) -> tuple[Syllable, ...]:
    from pypinyin import Style, lazy_pinyin
    from pypinyin.contrib.tone_convert import to_finals, to_initials

    spelt = lazy_pinyin(word, style=Style.TONE3, errors="ignore", neutral_tone_with_five=True, tone_sandhi=sandhi)
    found = []
    for one in spelt:
        if match := _SYLLABLE.fullmatch(one):
            initial, final = to_initials(one, strict=True), to_finals(one, strict=True).replace("ü", "v")
            if not final:  # 嗯 and 呣: a nasal is the whole syllable
                initial, final = "", initial
            found.append(Syllable(match[1].replace("ü", "v"), initial, final, int(match[2])))
    return tuple(found)
