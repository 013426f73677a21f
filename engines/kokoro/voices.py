"""Kokoro's voices by their names: `zf_xiaobei` is Mandarin and female. Loads no arrays: names are read from the files.

A voices file is one of two: an archive of NumPy arrays, whatever it is called (`voices-v1.0.bin`), or a folder with a
file of raw numbers for each voice (`voices/af_heart.bin`). Knows nothing about what the numbers mean.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.contract import Gender, Voice
from engines.errors import Unsupported, near_names
from engines.kokoro.mixing import Part, parse_mix

SAMPLE_RATE_HZ = 24000
LICENCE = "Apache-2.0, Kokoro-82M by hexgrad"
ARRAY, RAW = ".npy", ".bin"


@dataclass(frozen=True, slots=True)
class Accent:
    """What the first letter of a voice's name says: the languages it speaks, and espeak-ng's voice for its letters."""

    languages: tuple[str, ...]
    espeak: str


#: hexgrad's VOICES.md; the Japanese ones (j) are left out: nothing here reads Japanese
ACCENTS: Mapping[str, Accent] = {
    "a": Accent(("en",), "en-us"),
    "b": Accent(("en",), "gmw/en"),
    "e": Accent(("es",), "es"),
    "f": Accent(("fr",), "fr"),
    "h": Accent(("hi",), "hi"),
    "i": Accent(("it",), "it"),
    "p": Accent(("pt",), "pt-br"),
    "z": Accent(("zh", "en"), "en-us"),
}
LANGUAGES = frozenset(language for accent in ACCENTS.values() for language in accent.languages)
_GENDERS: Mapping[str, Gender] = {"f": "female", "m": "male"}
#: whom a request that names no voice hears: those that hexgrad's VOICES.md grades best, where they are there
_FIRST = ("af_heart", "bf_emma", "am_michael", "bm_george", "zf_001", "zm_010", "zf_xiaobei", "zm_yunjian")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A voice that will speak: one, or a mix of several. `espeak` is espeak-ng's voice for what it reads."""

    id: str
    parts: tuple[Part, ...]
    espeak: str


def names_in(path: Path) -> tuple[str, ...]:
    """The names of the voices in a file or folder, those first that are heard by default: Mandarin ones, which speak
    English too, come last.

    Raises OSError, or ValueError for what is no voices file.
    """
    if path.is_dir():
        names = [one.stem for one in path.glob(f"*{RAW}")]
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name.removesuffix(ARRAY) for name in archive.namelist() if name.endswith(ARRAY)]
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is no archive of NumPy arrays ({error}); fetch it again") from error
    if not names:
        raise ValueError(f"{path} has no voices; fetch it again")
    return tuple(sorted(names, key=lambda name: (name[:1] == "z", name not in _FIRST, name)))


class Catalogue:
    """The voices that can speak, and the mixes that engines.yaml names."""

    def __init__(self, names: Sequence[str], mixes: Mapping[str, str]) -> None:
        self._names = tuple(name for name in names if name[:1] in ACCENTS)
        self._mixes = mixes

    def listed(self) -> tuple[Voice, ...]:
        """As `EngineInfo.voices` shows them."""
        own = [_listed(name, parse_mix(mix)) for name, mix in self._mixes.items()]
        return (*(_listed(name, parse_mix(name)) for name in self._names), *own)

    def choose(self, language: str, voice: str, gender: Gender) -> Chosen:
        """The voice for a request. Raises Unsupported: there is none, or it does not speak the language."""
        if language not in LANGUAGES:
            raise Unsupported(f"Kokoro speaks {', '.join(sorted(LANGUAGES))} here, not {language!r}", param="language")
        name = voice or self._default(language, gender)
        parts = self._parts(name)
        for part in _greatest_first(parts):
            if language in ACCENTS[part.voice[0]].languages:
                return Chosen(name, parts, ACCENTS[part.voice[0]].espeak)
        raise Unsupported(f"the voice {name!r} speaks {', '.join(_languages(parts))}, not {language!r}", param="voice")

    def require(self, name: str) -> None:
        """Raises ValueError with near names unless there is such a voice or mix."""
        try:
            self._parts(name)
        except Unsupported as error:
            raise ValueError(str(error)) from error

    def find(self, language: str) -> Chosen | None:
        """The voice that speaks a language by default, if one does."""
        try:
            return self.choose(language, "", "")
        except Unsupported:
            return None

    def _default(self, language: str, gender: Gender) -> str:
        able = [name for name in self._names if language in ACCENTS[name[0]].languages]
        # a voice that speaks nothing else comes first: a Mandarin one speaks English with an accent
        able.sort(key=lambda name: ACCENTS[name[0]].languages[0] != language)
        fitting = [name for name in able if gender and _gender(name) == gender]
        if not able:
            raise Unsupported(f"none of the voices that are there speaks {language!r}", param="language")
        return (fitting or able)[0]

    def _parts(self, voice: str) -> tuple[Part, ...]:
        try:
            parts = parse_mix(self._mixes.get(voice, voice))
        except ValueError as error:
            raise Unsupported(str(error), param="voice") from error
        for part in parts:
            if part.voice not in self._names:
                near = near_names(part.voice, [*self._names, *self._mixes])
                raise Unsupported(f"this engine has no voice {part.voice!r}; {near}", param="voice")
        return parts


def _listed(name: str, parts: Sequence[Part]) -> Voice:
    """A mix has the languages of all its parts, and the gender of the greatest."""
    gender = _gender(_greatest_first(parts)[0].voice)
    return Voice(name, _languages(parts), SAMPLE_RATE_HZ, gender, licence=LICENCE)


def _greatest_first(parts: Sequence[Part]) -> list[Part]:
    return sorted(parts, key=lambda part: -part.share)


def _languages(parts: Sequence[Part]) -> tuple[str, ...]:
    known = [ACCENTS[part.voice[:1]] for part in _greatest_first(parts) if part.voice[:1] in ACCENTS]
    return tuple(dict.fromkeys(language for accent in known for language in accent.languages))


def _gender(name: str) -> Gender:
    return _GENDERS.get(name[1:2], "")
