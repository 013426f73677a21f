"""Which parts of a text are read out by a grammar of which language, and which stay as their writer put them.

Left alone: pinyin with tones, `<word|reading>`, hyphens inside of terms (GPT-5: not "minus 5") and the dots inside of
foreign names. The text is cut there, so that no grammar meets them. Knows no grammar, vocabulary or network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from engines.grammar import Language
from engines.indextts.text.characters import HAN
from engines.indextts.text.pinyin import SYLLABLE, has_pinyin, spell, spell_all

#: reads out the numbers and signs of a text, in a language: parts of it, one after the other
Read = Callable[[str, Language], Iterable[str]]

_KEPT = re.compile(
    r"<[^<>|]{1,64}\|(?P<reading>[^<>|]{1,128})>"
    rf"|(?P<pinyin>{SYLLABLE})"
    r"|(?<![a-z0-9])(?P<term>[a-z][a-z0-9]*(?:-[a-z0-9]+)+)"
    r"|(?P<dot>(?<=\w)[·•‧・](?=\w))",
    re.IGNORECASE,
)
# 's that is a verb; in other places it is most often a genitive
_IS = re.compile(r"\b(it|s?he|that|this|what|who|where|which|when|how|t?here)['’]s\b", re.IGNORECASE)
_HAN = re.compile(f"[{HAN}]")
_LATIN = re.compile("[A-Za-z]")
_EMAIL = re.compile(r"[A-Za-z0-9_]@[A-Za-z0-9][A-Za-z0-9-]*\.[A-Za-z]")


def normalise(text: str, read: Read, language: str = "") -> Iterator[str]:
    """Parts of `text` as it is to be spoken, which make up all of it: a long one takes seconds.

    `language` decides between Mandarin and English where the text does not. A single character that is no digit is
    nothing to read out, and stays.
    """
    text = text.encode("utf-8", "ignore").decode().strip()  # lone surrogates are no text
    if len(text) == 1 and not text.isdigit():
        yield text
    else:
        spoken_in = choose_language(text, language)
        yield from _parts(_IS.sub(r"\1 is", text), lambda part: read(part, spoken_in))


def choose_language(text: str, language: str = "") -> Language:
    """Mandarin for Han characters and pinyin; also for texts without any Latin letter and for e-mail addresses, as the
    release has it, unless `language` says English."""
    if _HAN.search(text) or has_pinyin(text):
        return "zh"
    if language:
        return "en" if language == "en" else "zh"
    return "en" if _LATIN.search(text) and not _EMAIL.search(text) else "zh"


def _parts(text: str, read: Callable[[str], Iterable[str]]) -> Iterator[str]:
    after = 0
    for match in _KEPT.finditer(text):
        yield from read(text[after : match.start()])
        after = match.end()
        if match["reading"]:
            yield spell_all(match["reading"])
        elif match["pinyin"]:
            yield spell(match["pinyin"])
        elif match["term"]:
            yield "-".join("".join(read(part)) for part in match["term"].split("-"))
        else:
            yield match["dot"]
    yield from read(text[after:])
