"""What a speaker is to say, as ids, sentence by sentence: the rules of each type of phonemes.

Used by one thread at a time, in a worker process only: espeak-ng is GPL-3.0-or-later. Knows nothing about sound.
Rules: Piper's phoneme ids (https://github.com/OHF-Voice/piper1-gpl), and the `text_to_ids` of voices that name a
phonemiser for each speaker.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from engines.errors import Unsupported
from engines.phonemes import pinyin
from engines.phonemes.espeak import Library, locate
from engines.phonemes.numerals import say_numbers
from engines.piper.description import Description, Speaker
from engines.piper.languages import has_han

PAD, BEGIN, END = "_", "^", "$"
_STOPS = "。！？!?.．"
_SENTENCE = re.compile(rf"[^{_STOPS}\n]*(?:[{_STOPS}\n]+|$)")
#: full-width signs of voices that know the others only
_SIGNS: Final = {
    "，": ",", "、": ",", "；": ",", "：": ",", ";": ",", ":": ",", "…": ",", "—": ",", "–": ",", ",": ",",
    "。": ".", "．": ".", ".": ".", "？": "?", "?": "?", "！": "!", "!": "!",
}  # fmt: skip
#: and the other way round, for voices that know full-width ones only
_FULL_WIDTH: Final = {",": "，", ";": "；", ":": "：", ".": "。", "．": "。", "?": "？", "!": "！", "–": "—"}
#: longest first
_INITIALS = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcsyw")
#: words whose last character is the syllable er, and does not colour the one before it
_WHOLE_ER = frozenset({"女儿", "婴儿", "孤儿", "幼儿", "少儿", "男儿", "健儿", "胎儿", "儿"})

Ids = tuple[int, ...]


class Speller:
    """Spells for all voices of one engine. `close` frees espeak-ng, which is opened when it is first needed."""

    def __init__(self) -> None:
        self._espeak: Library | None = None
        self._sentences: dict[str, Callable[[str, Speaker, bool], Iterable[list[str]]]] = {
            "espeak": self._by_espeak,
            "pinyin": _by_pinyin,
            "text": _by_letter,
        }

    def spell(self, voice: Description, speaker: Speaker, text: str) -> list[Ids]:
        """Ids of each sentence; none where the voice knows nothing of the text. Raises Unavailable, Unsupported."""
        spelt = self._sentences[speaker.phonemes](text, speaker, voice.phonemiser_per_speaker)
        padding = "" if voice.phonemiser_per_speaker else speaker.phonemes
        return [ids for symbols in spelt if (ids := _ids(symbols, voice.ids, padding))]

    def close(self) -> None:
        if self._espeak is not None:
            self._espeak.close()
            self._espeak = None

    def _by_espeak(self, text: str, speaker: Speaker, plain: bool) -> Iterator[list[str]]:
        """IPA, a symbol for each code point. `plain`: of signs there are four, and a space goes before what follows."""
        if self._espeak is None:
            self._espeak = Library(*locate())
        self._espeak.set_voice(speaker.espeak_voice)
        symbols: list[str] = []
        for clause in self._espeak.clauses(text.replace("-", " ").replace('"', "") if plain else text):
            if symbols and symbols[-1] != " ":
                symbols.append(" ")
            symbols += clause.ipa if plain else unicodedata.normalize("NFD", clause.ipa)
            symbols += [_SIGNS[clause.end] if plain else clause.end] if clause.end else []
            if clause.ends_sentence:
                yield symbols
                symbols = []
        yield symbols


def _by_letter(text: str, speaker: Speaker, plain: bool) -> Iterator[list[str]]:
    for sentence in _SENTENCE.findall(text):
        yield list(unicodedata.normalize("NFD", " ".join(sentence.split())))


def _by_pinyin(text: str, speaker: Speaker, plain: bool) -> Iterator[list[str]]:
    for sentence in _SENTENCE.findall(say_numbers(text)):
        yield list(_parts(sentence) if plain else _usual(sentence))


def _usual(sentence: str) -> Iterator[str]:
    """Initial, final and tone as usually spelt: y and w are initials, `Ø` stands where there is none."""
    for word in pinyin.words(sentence, sandhi=False):  # as dictionaries have it: so the voices were trained
        _require_read(word)
        for one in word.syllables:
            initial = next((start for start in _INITIALS if one.spelling.startswith(start)), "")
            yield from (initial or "Ø", one.spelling[len(initial) :], str(one.tone))
        if not word.syllables:
            yield from (_FULL_WIDTH.get(char, char) for char in word.text)


def _parts(sentence: str) -> Iterator[str]:
    """Strict initials and finals, `i:` and `f:` before them, a space between words."""
    begun = paused = False
    for word in pinyin.words(sentence):
        _require_read(word)
        if word.syllables:
            if begun:
                yield " "
            begun, paused = True, False
            yield from _strict(word)
        elif begun and not paused and (sign := next((_SIGNS[char] for char in word.text if char in _SIGNS), "")):
            paused = True
            yield sign


def _strict(word: pinyin.Word) -> Iterator[str]:
    coloured = len(word.text) > 1 and word.text.endswith("儿") and word.text not in _WHOLE_ER
    last = len(word.syllables) - 1
    for number, one in enumerate(word.syllables):
        if coloured and number == last:
            yield from ("f:r", "5")
            continue
        if one.initial:
            yield f"i:{one.initial}"
        yield from ("f:ii" if one.apical else f"f:{one.final}", str(one.tone))


def _require_read(word: pinyin.Word) -> None:
    """Raises Unsupported where a Han character would be left out."""
    if has_han(word.text) and len(word.syllables) != len(word.text):
        raise Unsupported(f"no reading is known of a character in {word.text!r}")


def _ids(symbols: list[str], known: dict[str, Ids], padding: str) -> Ids:
    """With begin and end; what the voice does not know is left out, but for letters of a text that is spelt by them.
    Empty if nothing is left that has a sound."""
    symbols = [symbol if symbol in known else symbol.lower() for symbol in symbols]
    kept = [symbol for symbol in symbols if symbol in known]
    if padding == "text" and (lost := next((one for one in symbols if one.isalpha() and one not in known), "")):
        raise Unsupported(f"the voice knows no letter {lost!r}")
    if not any(unicodedata.category(symbol[0])[0] in "LN" for symbol in kept):
        return ()
    pad = known.get(PAD, ()) if padding else ()
    ids = [*known.get(BEGIN, ()), *pad]
    for symbol in kept:
        ids += known[symbol]
        if padding != "pinyin" or not symbol.isalpha():  # after a syllable's tone, not within it
            ids += pad
    return (*ids, *known.get(END, ()))
