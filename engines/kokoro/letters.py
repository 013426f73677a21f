"""espeak-ng's IPA as Kokoro's phonemes: one letter for a diphthong, and what its voices were trained with.

Follows misaki's notes on its letters (https://github.com/hexgrad/misaki/blob/main/EN_PHONES.md, Apache-2.0). Pure.
"""

from __future__ import annotations

import re

Rules = tuple[tuple[re.Pattern[str], str], ...]


def _rules(*pairs: tuple[str, str]) -> Rules:
    return tuple((re.compile(pattern), new) for pattern, new in pairs)


_DIPHTHONGS = (("aɪ", "I"), ("aʊ", "W"), ("eɪ", "A"), ("ɔɪ", "Y"), ("dʒ", "ʤ"), ("tʃ", "ʧ"))
#: of foreign words in an English text
_FOREIGN = (("r", "ɹ"), ("ɬ", "l"), ("[xç]", "k"), ("\u0303", ""), ("ʲ", ""))
_ENGLISH = (
    *_DIPHTHONGS,
    ("(.)\u0329", "ᵊ\\1"),  # a consonant that is a syllable
    ("(?<=[^\\W ])əl(?![ˈˌaɑæɐɒəɚɛɜiɪoɔuʊʌIWAYOQ])", "ᵊl"),
    ("ɐ", "ə"),
    *_FOREIGN,
)
_AMERICAN = _rules(
    ("oʊ", "O"), *_ENGLISH, ("ɚ", "əɹ"), ("ɜːɹ|ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", ""), ("o", "ɔ"), ("ɾ", "T"), ("ʔ", "t")
)
_BRITISH = _rules(("eə", "ɛː"), ("iə", "ɪə"), ("əʊ", "Q"), *_ENGLISH, ("ɚ", "əɹ"), ("o", "ɔ"), ("ɾ", "T"), ("ʔ", "t"))
_OTHERS = _rules(*_DIPHTHONGS, ("oʊ", "O"), ("əʊ", "Q"), ("dz", "ʣ"), ("ts", "ʦ"), ("-", ""))
_OF_VOICE = {"en-us": _AMERICAN, "gmw/en": _BRITISH}


def respell(ipa: str, espeak_voice: str) -> str:
    """The IPA of one of espeak-ng's voices in the model's letters."""
    for pattern, new in _OF_VOICE.get(espeak_voice, _OTHERS):
        ipa = pattern.sub(new, ipa)
    return ipa
