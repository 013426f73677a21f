"""Voices and languages of espeak-ng as data, from voices.json: which voice speaks what, and what a name means.

A voice id is an espeak-ng name with an optional variant: `cmn-latn-pinyin`, `en-us+f3`. Knows nothing about how
speech is made, and loads no library: what it says is known before the engine starts.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from engines.contract import Gender, Voice
from engines.errors import Unsupported, near_names

TABLE = Path(__file__).with_name("voices.json")
LICENCE = "GPL-3.0-or-later"

#: what a voice id may end in: five female and eight male variants that change timbre and pitch
VARIANTS: dict[str, Gender] = {
    **{f"f{number}": "female" for number in range(1, 6)},
    **{f"m{number}": "male" for number in range(1, 9)},
}
#: listed for every voice; for the voices used most every variant is listed. All variants of all voices are taken
_COMMON_VARIANTS = ("f3", "m3")
_FULLY_LISTED = frozenset({"cmn-latn-pinyin", "yue", "en-us", "en-gb"})
_MANDARIN = "cmn-latn-pinyin"
#: examples for who names a voice that is like none of them
_COMMON = (_MANDARIN, "yue", "en-us")
#: voices that read Han characters, and those that would lose what a text says by leaving them out
_READS_HAN = frozenset({_MANDARIN, "yue", "yue-latn-jyutping"})
_WRITTEN_WITH_HAN = frozenset({"ja", "ko", "hak"})

#: Han characters with the iteration mark and zero; kana and hangul are not among them
_HAN_LETTERS = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_HAN = re.compile(f"[{_HAN_LETTERS}]")
#: Han characters with the signs and digits between them
_HAN_RUN = re.compile(f"[{_HAN_LETTERS}](?:[\\W\\d_]*[{_HAN_LETTERS}])*")


@dataclass(frozen=True, slots=True)
class BaseVoice:
    """A row of voices.json. `file` is what the library is asked for: names that it lists are not all found by it."""

    id: str
    file: str
    name: str
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A voice that will speak: `id` as clients write it, `name` as the library takes it.

    `han_name`: the Mandarin voice of the same timbre, for Chinese words among others.
    """

    id: str
    name: str
    base: str
    han_name: str

    def parts(self, text: str) -> tuple[tuple[str, str], ...]:
        """`text` cut where another of the library's voices goes on: (voice's name, text), nothing left out.

        The other way round there is nothing to cut: a Mandarin voice says English words itself.
        """
        if self.base in _READS_HAN:
            return ((self.name, text),)
        parts: list[tuple[str, str]] = []
        done = 0
        for run in _HAN_RUN.finditer(text):
            if any(map(str.isalnum, text[done : run.start()])):
                parts.append((self.name, text[done : run.start()]))
                done = run.start()
            parts.append((self.han_name, text[done : run.end()]))
            done = run.end()
        rest = text[done:]
        if not parts or any(map(str.isalnum, rest)):
            parts.append((self.name, rest))
        else:  # the full stop belongs to the word before it
            name, last = parts.pop()
            parts.append((name, last + rest))
        return tuple(parts)

    def name_for(self, text: str) -> str:
        """The one voice that says `text` best: a Mandarin voice says English words, not the other way round."""
        return self.han_name if self.base.startswith("en") and _HAN.search(text) else self.name

    def require_readable(self, text: str) -> None:
        """Raises Unsupported when Han characters are what the text is made of, and not some words of it for `parts`:
        the voice would name them ("Chinese letter") or leave them out."""
        if self.base in _READS_HAN or not (han := len(_HAN.findall(text))):
            return
        if self.base == "ja":
            raise Unsupported("espeak-ng reads Japanese in kana only, and this text has kanji; write it in kana")
        letters = sum(map(str.isalpha, text))
        if self.base in _WRITTEN_WITH_HAN or 2 * han >= letters:
            raise Unsupported(
                f"espeak-ng's voice {self.id!r} does not read Han characters; "
                "for Mandarin or Cantonese give the language zh or yue"
            )


class Catalogue:
    """All voices of espeak-ng, the default of each language first."""

    def __init__(self, voices: tuple[BaseVoice, ...]) -> None:
        self._by_id = {voice.id: voice for voice in voices}
        self._mandarin = self._by_id[_MANDARIN].file
        #: every language code that some voice speaks
        self.languages = frozenset(code for voice in voices for code in voice.languages)

    @classmethod
    def load(cls) -> Catalogue:
        rows = json.loads(TABLE.read_text(encoding="utf-8"))
        return cls(tuple(BaseVoice(row["id"], row["file"], row["name"], tuple(row["languages"])) for row in rows))

    @property
    def base_voices(self) -> tuple[BaseVoice, ...]:
        return tuple(self._by_id.values())

    def listed(self, sample_rate: int) -> tuple[Voice, ...]:
        """What `EngineInfo.voices` shows: each voice as it is, and with its common variants."""
        listed: list[Voice] = []
        for base in self.base_voices:
            listed.append(Voice(base.id, base.languages, sample_rate, "male", licence=LICENCE))
            variants = VARIANTS if base.id in _FULLY_LISTED else _COMMON_VARIANTS
            # f3 and m3 first: the first voice of a gender is the default of that gender
            for variant in sorted(variants, key=lambda name: name not in _COMMON_VARIANTS):
                identity = f"{base.id}+{variant}"
                listed.append(Voice(identity, base.languages, sample_rate, VARIANTS[variant], licence=LICENCE))
        return tuple(listed)

    def choose(self, language: str, voice: str, gender: Gender) -> Chosen:
        """The voice for a request. Raises Unsupported: language or voice unknown, or they do not fit together."""
        if not voice:
            return self._default(self._known(language), gender)
        base_id, plus, variant = voice.partition("+")
        base = self._by_id.get(base_id)
        if base is None or (plus and variant not in VARIANTS):
            names = [*self._by_id, *(f"{base}+{variant}" for base in self._by_id for variant in VARIANTS)]
            advice = near_names(voice.lower(), names, common=_COMMON)
            raise Unsupported(f"espeak-ng has no voice {voice!r}; {advice}", param="voice")
        if language and self._known(language) not in base.languages:
            raise Unsupported(
                f"espeak-ng's voice {voice!r} speaks {base.name} ({', '.join(base.languages)}), not {language!r}",
                param="voice",
            )
        return Chosen(voice, base.file + plus + variant, base_id, self._mandarin + plus + variant)

    def _default(self, language: str, gender: Gender) -> Chosen:
        # `en-gb` is the default of its own code though `en-gb-x-rp` lists that code too: the table's order decides
        base = next(one for one in self._by_id.values() if language in one.languages)
        variant = "+f3" if gender == "female" else ""
        return Chosen(base.id + variant, base.file + variant, base.id, self._mandarin + variant)

    def _known(self, language: str) -> str:
        """The code in the table's form: `pt_BR` is pt-br, `de-AT` is de. Raises Unsupported."""
        code = language.strip().lower().replace("_", "-")
        while code:
            if code in self.languages:
                return code
            code = code.rpartition("-")[0]
        raise Unsupported(f"espeak-ng does not speak the language {language!r}", param="language")
