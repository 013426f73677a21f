"""Which language a sentence is in, found by its script; and the base code of a language tag.

The script decides, the hint decides among the languages of one script. Knows nothing about engines or voices.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engines.errors import InvalidRequest

#: a Han character, a kana or a Hangul syllable says about as much as four Latin letters
WIDE_WEIGHT = 4
#: and more where the request says that the text is Chinese or Japanese, or where the sentence begins with a phrase of
#: it: 请安装 Microsoft Visual Studio Code is Mandarin. A Mandarin voice can say English names, not the other way round
LEADING_WIDE_WEIGHT = 10
_PHRASE = 3  # characters
#: the share of kana among Han and kana from which sentences without kana are taken for Japanese as well
JAPANESE_KANA_SHARE = 0.25


class Script(NamedTuple):
    """A writing system: the language when nothing else is known, and the languages that a hint may name."""

    letters: re.Pattern[str]
    default: str
    languages: frozenset[str]


def _script(letters: str, default: str, others: str = "") -> Script:
    return Script(re.compile(f"[{letters}]+"), default, frozenset([default, *others.split()]))


_LATIN = _script(
    "A-Za-zªºÀ-ÖØ-öø-ʯḀ-ỿꜢ-ꟿＡ-Ｚａ-ｚ",
    "en",
    "af az bs ca cs cy da de eo es et eu fi fil fr ga gl ha hr hu id ig is it jv la lb lt lv mi ms mt nb nl nn "
    "no oc pl pt ro rw sk sl so sq st su sv sw tl tn tr uz vi wo xh yo zu",
)
_HAN = _script(
    "\u2e80-\u2fdf々〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff", "zh", "yue ja wuu nan hak"
)
# without the middle dot and the long-vowel mark, which Chinese texts borrow
_KANA = _script("\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff6f\uff71-\uff9d", "ja")
_HANGUL = _script("\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb", "ko")

_OTHERS = (
    _script("Ѐ-ԯᲀ-ᲈⷠ-ⷿꙀ-ꚟ", "ru", "uk be bg sr mk kk ky mn tg tt ba cv nog"),
    _script("\u0370-\u0373\u0376-\u037d\u0386\u0388-\u03ff\u1f00-\u1ffc", "el", "grc"),
    _script(
        "\u0620-\u064a\u066e-\u06d3\u06d5\u06ee-\u06ff\u0750-\u077f\ufb50-\ufdfb\ufe70-\ufefc",
        "ar",
        "fa ur ps sd ug ku ckb",
    ),
    _script("\u05d0-\u05f2\ufb1d-\ufb4f", "he", "yi"),
    _script("\u0904-\u0939\u0958-\u0961\u0971-\u097f", "hi", "mr ne sa kok mai bho"),
    _script("\u0985-\u09b9\u09dc-\u09e1\u09f0\u09f1", "bn", "as bpy"),
    _script("\u0a05-\u0a39\u0a59-\u0a5e\u0a72-\u0a74", "pa"),
    _script("\u0a85-\u0ab9\u0ae0\u0ae1", "gu"),
    _script("\u0b05-\u0b39\u0b5c-\u0b61", "or"),
    _script("\u0b83-\u0bb9", "ta"),
    _script("\u0c05-\u0c39\u0c58-\u0c61", "te"),
    _script("\u0c85-\u0cb9\u0cde-\u0ce1", "kn"),
    _script("\u0d05-\u0d3a\u0d5f-\u0d61", "ml"),
    _script("\u0d85-\u0dc6", "si"),
    _script("\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46", "th"),
    _script("\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf", "lo"),
    _script("\u0f40-\u0f6c", "bo", "dz"),
    _script("\u1000-\u102a\u103f\u1050-\u1055", "my", "shn"),
    _script("\u10a0-\u10fc\u10fd-\u10ff\u1c90-\u1cbf\u2d00-\u2d2d", "ka"),
    _script("\u0531-\u0556\u0561-\u0587", "hy", "hyw"),
    _script("\u1200-\u135a\u1380-\u138f", "am", "ti"),
    _script("\u1780-\u17b3", "km"),
)
#: languages whose script is known. Most others are written in Latin letters: a hint that names one is believed, so that
#: an engine may speak it, or none does and the client is told, instead of hearing it read as English
_PLACED = frozenset({"ja", "ko"}).union(*(script.languages for script in (_LATIN, _HAN, *_OTHERS)))
_LEADING_WIDE = re.compile(r"[\W\d_]*+[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_ASCII_LETTER = re.compile("[A-Za-z]")
_UKRAINIAN = re.compile("[іїєґІЇЄҐ]")
_PERSIAN = re.compile("[پچژگکی]")
_URDU = re.compile("[ٹڈڑںے]")

_TAG = re.compile(r"([A-Za-z]{2,3})((?:[-_][A-Za-z0-9]{1,8})*)")
#: other codes for the same language: ISO 639-2 and -3, and old names
_SAME = {
    "cmn": "zh", "zho": "zh", "chi": "zh", "eng": "en", "jpn": "ja", "kor": "ko", "deu": "de", "ger": "de", "fra": "fr",
    "fre": "fr", "spa": "es", "ita": "it", "por": "pt", "rus": "ru", "ukr": "uk", "ara": "ar", "hin": "hi", "nld": "nl",
    "dut": "nl", "pol": "pl", "tur": "tr", "vie": "vi", "tha": "th", "ind": "id", "no": "nb", "nor": "nb", "nob": "nb",
    "swe": "sv", "dan": "da", "fin": "fi", "ces": "cs", "cze": "cs", "slk": "sk", "slo": "sk", "ron": "ro", "rum": "ro",
    "hun": "hu", "cat": "ca", "bul": "bg", "hrv": "hr", "srp": "sr", "ben": "bn", "tam": "ta", "tel": "te", "urd": "ur",
    "mar": "mr", "nno": "nn", "iw": "he", "heb": "he", "in": "id", "pes": "fa", "fas": "fa", "per": "fa",
    "ell": "el", "gre": "el",
}  # fmt: skip
#: parts of a `zh` tag that mean another language than Mandarin
_CHINESE = {"hk": "yue", "mo": "yue", "yue": "yue", "wuu": "wuu", "nan": "nan", "hak": "hak"}


def normalise_tag(tag: str) -> str:
    """The base code of a BCP 47 tag: `zh-CN` -> `zh`, `zh-HK` -> `yue`, `en-US` -> `en`; empty and `auto` -> empty.

    Raises InvalidRequest(param="language") for what is not a tag.
    """
    if not tag or tag.lower() == "auto":
        return ""
    match = _TAG.fullmatch(tag)
    if match is None:
        raise InvalidRequest(
            f"language {tag[:40]!r} is not a language tag; expected is one like zh, en, ja, yue, zh-CN or en-US",
            param="language",
        )
    base, rest = match.group(1).lower(), match.group(2)
    base = _SAME.get(base, base)
    if base == "zh" and rest:
        parts = rest.lower().replace("_", "-").split("-")
        if "cmn" not in parts:  # cmn-Hant-HK is Mandarin as it is written in Hong Kong
            return next((_CHINESE[part] for part in parts if part in _CHINESE), "zh")
    return base


def find_language(sentence: str, hint: str = "") -> str:
    """The base code of the language that `sentence` is in; empty when it holds no letter of a known script.

    `hint` is a base code: it decides among the languages of the script that is found (`ja` or `yue` for Han, `de` for
    Latin), never against it; a language that no table here has is taken for one in Latin letters. The letters of each
    script are counted, a wide one four times.
    """
    if sentence.isascii():
        return _of(_LATIN, hint) if _ASCII_LETTER.search(sentence) else ""
    han, kana, hangul = (_count(script, sentence) for script in (_HAN, _KANA, _HANGUL))
    wide, latin = han + kana + hangul, _count(_LATIN, sentence)
    leads = hint in _HAN.languages or (wide >= _PHRASE and _LEADING_WIDE.match(sentence) is not None)
    wide *= LEADING_WIDE_WEIGHT if leads else WIDE_WEIGHT
    if wide and wide >= latin and wide >= len(sentence) - latin - han - kana - hangul:
        return _of_wide(han, kana, hangul, hint)
    best, script, found = latin, _LATIN, latin + han + kana + hangul
    for other in _OTHERS:
        if found == len(sentence):
            break
        count = _count(other, sentence)
        found += count
        if count > best:
            best, script = count, other
    if wide > best:
        return _of_wide(han, kana, hangul, hint)
    return _of(script, hint, sentence) if best else ""


def is_japanese(text: str) -> bool:
    """Whether so much of `text` is kana that its sentences of Han alone are Japanese too."""
    kana = _count(_KANA, text)
    return kana > 0 and kana >= JAPANESE_KANA_SHARE * (kana + _count(_HAN, text))


def _count(script: Script, text: str) -> int:
    return len(text) - len(script.letters.sub("", text))


def _of_wide(han: int, kana: int, hangul: int, hint: str) -> str:
    if hangul > han + kana:
        return "ko"
    return "ja" if kana else _of(_HAN, hint)


def _of(script: Script, hint: str, sentence: str = "") -> str:
    if hint in script.languages or (script is _LATIN and hint and hint not in _PLACED):
        return hint
    if script.default == "ru" and _UKRAINIAN.search(sentence):
        return "uk"
    if script.default == "ar":
        return "ur" if _URDU.search(sentence) else "fa" if _PERSIAN.search(sentence) else "ar"
    return script.default
