"""Mandarin syllables in the two alphabets that Kokoro's models were trained with.

v1.0 takes IPA with an arrow for the tone behind the vowel, tones as a dictionary has them; v1.1-zh one sign for the
initial, one for the final, and the tone as a digit, as it is spoken, with `/` between words.
Both tables follow misaki's, by which the models' texts were prepared
(https://github.com/hexgrad/misaki, Apache-2.0); syllables come from `engines.phonemes.pinyin`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engines.kokoro.vocabulary import Alphabet
from engines.phonemes.pinyin import Syllable, Word, words
from engines.phonemes.sandhi import spoken

#: punctuation as models know it, in both alphabets
_MARKS = str.maketrans(
    {
        **dict.fromkeys("，、,", ", "),
        **dict.fromkeys("。．.", ". "),
        **dict.fromkeys("！!", "! "),
        **dict.fromkeys("？?", "? "),
        **dict.fromkeys("：:", ": "),
        **dict.fromkeys("；;", "; "),
        **dict.fromkeys("《「『【“«", " “"),
        **dict.fromkeys("》」』】”»", "” "),
        **dict.fromkeys("（(", " ("),
        **dict.fromkeys("）)", ") "),
        "…": "…",
        "—": "—",
    }
)


def _table(pairs: str) -> Mapping[str, str]:
    return dict(pair.split("=") for pair in pairs.split())


#: space where none is written: before what closes, and behind what opens
_LOOSE = re.compile("(?: (?=[,.!?:;”)])|(?<=[“(]) )")
_ARROWS = ("→", "↗", "↓", "↘", "")
#: `0` is where the tone goes
_IPA_INITIALS = _table("b=p p=pʰ m=m f=f d=t t=tʰ n=n l=l g=k k=kʰ h=x j=ʨ q=ʨʰ x=ɕ zh=ꭧ ch=ꭧʰ sh=ʂ r=ɻ z=ʦ c=ʦʰ s=s")
_IPA_FINALS = _table(
    "a=a0 ai=ai0 an=a0n ang=a0ŋ ao=au0 e=ɤ0 ê=ɛ0 ei=ei0 en=ə0n eng=ə0ŋ er=ɚ0 i=i0 ia=ja0 ian=jɛ0n iang=ja0ŋ iao=jau0 "
    "ie=je0 in=i0n ing=i0ŋ io=jɔ0 iong=jʊ0ŋ iou=jou0 o=wo0 ong=ʊ0ŋ ou=ou0 u=u0 ua=wa0 uai=wai0 uan=wa0n uang=wa0ŋ "
    "uei=wei0 uen=wə0n ueng=wə0ŋ uo=wo0 v=y0 van=ɥɛ0n ve=ɥe0 vn=y0n m=m0 n=n0 ng=ŋ0"
)
_IPA_APICAL, _IPA_LONE_O = "ɨ0", "ɔ0"
_SIGNS = _table(
    "b=ㄅ p=ㄆ m=ㄇ f=ㄈ d=ㄉ t=ㄊ n=ㄋ l=ㄌ g=ㄍ k=ㄎ h=ㄏ j=ㄐ q=ㄑ x=ㄒ zh=ㄓ ch=ㄔ sh=ㄕ r=ㄖ z=ㄗ c=ㄘ s=ㄙ "
    "a=ㄚ ai=ㄞ an=ㄢ ang=ㄤ ao=ㄠ e=ㄜ ê=ㄝ ei=ㄟ en=ㄣ eng=ㄥ er=ㄦ i=ㄧ ia=压 ian=言 iang=阳 iao=要 ie=ㄝ in=阴 "
    "ing=应 io=ㄧㄛ iong=用 iou=又 o=ㄛ ong=中 ou=ㄡ u=ㄨ ua=穵 uai=外 uan=万 uang=王 uei=为 uen=文 ueng=瓮 uo=我 "
    "v=ㄩ van=元 ve=月 vn=云 ng=ㄣ"
)
#: the vowel of zi, ci and si, and that of zhi, chi, shi and ri
_DENTALS, _DENTAL_SIGN, _RETROFLEX_SIGN = frozenset({"z", "c", "s"}), "ㄭ", "十"
#: words in which 儿 is a syllable of its own; elsewhere it colours the one before
_CHILDREN = re.compile("[女男婴幼孤少患胎健宠孩妻侄孙育]儿|混血儿|流浪儿")


def spell(text: str, alphabet: Alphabet) -> str:
    """The phonemes of a text of Han characters and punctuation; what has no sound is left out."""
    spell_word, between = (_ipa, " ") if alphabet == "ipa" else (_signs, "/")
    said = ""
    read = words(text, sandhi=False)
    for word in read if alphabet == "ipa" else spoken(read):
        if word.syllables:
            joint = between if said and said[-1] not in " (“" else ""
            said += joint + spell_word(word)
        else:
            said += word.text.translate(_MARKS)
    return _LOOSE.sub("", " ".join(said.split()))


def _ipa(word: Word) -> str:
    return "".join(map(_ipa_syllable, word.syllables))


def _ipa_syllable(one: Syllable) -> str:
    final = _IPA_APICAL if one.apical else _IPA_FINALS.get(one.final, "")
    if one.final == "o" and not one.initial:
        final = _IPA_LONE_O
    return _IPA_INITIALS.get(one.initial, "") + final.replace("0", _ARROWS[one.tone - 1])


def _signs(word: Word) -> str:
    syllables = list(word.syllables)
    coloured = _is_coloured(word)
    if coloured:
        syllables.pop()
    said = [_sign(one) + str(one.tone) for one in syllables]
    if coloured:
        said[-1] = f"{said[-1][:-1]}R{said[-1][-1]}"
    return "".join(said)


def _sign(one: Syllable) -> str:
    apical = _DENTAL_SIGN if one.initial in _DENTALS else _RETROFLEX_SIGN
    final = apical if one.apical else _SIGNS.get(one.final, "")
    return _SIGNS.get(one.initial, "") + final


def _is_coloured(word: Word) -> bool:
    last = word.syllables[-1]
    ends = word.text.endswith("儿") and last.final == "er"
    return ends and len(word.syllables) > 1 and not _CHILDREN.fullmatch(word.text)
