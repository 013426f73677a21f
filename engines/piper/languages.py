"""Cuts a text where its script changes between Han and Latin letters, for voices with a speaker for each. Pure."""

from __future__ import annotations

import re
import unicodedata

_HAN = re.compile("[\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")


def has_han(text: str) -> bool:
    return _HAN.search(text) is not None


def has_letters(text: str) -> bool:
    """Has it letters of an alphabet: those that are not Han."""
    return any(char.isalpha() and not _HAN.match(char) for char in text)


def has_words(text: str) -> bool:
    """Is there anything in it that is spoken."""
    return any(unicodedata.category(char)[0] in "LN" for char in text)


def cut(text: str, language: str) -> list[tuple[str, str]]:
    """(`zh` or the other language, its part of the text) in order, nothing left out.

    Digits and signs go with the letters before them; before the first letter, with those that follow. A text without
    letters is of `language`.
    """
    parts: list[tuple[bool, str]] = []
    lead = ""  # what stands before the first letter
    for char in text:
        if not char.isalpha() and not _HAN.match(char):
            if parts:
                parts[-1] = (parts[-1][0], parts[-1][1] + char)
            else:
                lead += char
            continue
        han = bool(_HAN.match(char))
        if parts and parts[-1][0] == han:
            parts[-1] = (han, parts[-1][1] + char)
        else:
            parts.append((han, lead + char))
            lead = ""
    if not parts:
        return [(language, text)]
    return [("zh" if han else "", part) for han, part in parts]
