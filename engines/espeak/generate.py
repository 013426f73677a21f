"""Writes voices.json, the table of voices, from the list of the installed espeak-ng itself.

`python -m engines.espeak.generate` after a new espeakng-loader; a test compares the committed file with this. The
names are ours, because the library's are not to be relied on: it does not find some of the codes that it lists
itself, and takes `zh-hk` for Mandarin. A process that runs this loads the library.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import espeakng_loader

from engines.espeak.voices import TABLE
from engines.phonemes.espeak import Library, ListedVoice

#: `sit/cmn` reads Latin letters as English and, before 1.52, Han characters as spelt English: always cmn-latn-pinyin;
#: the others are listed but have no dictionary, and speak nonsense
_LEFT_OUT = frozenset({"sit/cmn", "gmq/fo", "trk/kaa", "art/xex"})
#: ids are the voice's file name in lower case, but for this one
_IDS = {"gmw/en": "en-gb"}
#: voices that come first among those of their language, beside the one whose id is the language's code
_FIRST = ("cmn-latn-pinyin", "en-us", "en-gb")
#: language codes where the library's own list is not what people mean
_LANGUAGES = {
    "cmn-latn-pinyin": ("zh", "cmn", "cmn-latn-pinyin"),
    "yue": ("yue", "zh-yue", "zh-hk", "zh-mo"),
    "yue-latn-jyutping": ("yue", "zh-yue", "yue-latn-jyutping"),
    "en-shaw": ("en-shaw",),  # reads the Shavian alphabet
    "fa-latn": ("fa-latn",),  # reads Persian in Latin letters
    "hyw": ("hyw", "hy-arevmda", "hy"),
    "chr": ("chr",),
}


def table(library: Library) -> list[dict[str, object]]:
    """The rows of voices.json: `id`, `file` (what the library is asked for), `name`, `languages`; defaults first."""
    rows = [_row(voice) for voice in library.list_voices() if voice.identifier not in _LEFT_OUT]
    return sorted(rows, key=_order)


def _row(voice: ListedVoice) -> dict[str, object]:
    identity = _IDS.get(voice.identifier, voice.identifier.rsplit("/", 1)[-1].lower())
    codes = [code for _, code in sorted(voice.languages, key=lambda pair: pair[0])]
    languages = _LANGUAGES.get(identity, (*codes, identity, identity.split("-")[0]))
    return {
        "id": identity,
        "file": voice.identifier,
        "name": voice.name.strip(),
        "languages": list(dict.fromkeys(languages)),
    }


def _order(row: dict[str, object]) -> tuple[str, int, str]:
    identity = str(row["id"])
    base = identity.split("-")[0]
    first = identity == base or identity in _FIRST
    rank = _FIRST.index(identity) - len(_FIRST) if identity in _FIRST else 0 if first else 1
    return base, rank, identity


def write(rows: list[dict[str, object]]) -> str:
    """One voice a line."""
    return "[\n" + ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


if __name__ == "__main__":
    TABLE.write_text(
        write(table(Library(Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())))),
        encoding="utf-8",
    )
    sys.stdout.write(f"wrote {TABLE}\n")
