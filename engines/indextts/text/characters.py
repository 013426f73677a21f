"""Characters as the model was trained on: few punctuation marks, Han characters apart, upper case.

Knows nothing about numbers, languages or the vocabulary.
"""

from __future__ import annotations

import re

# What a mark does to speech is kept: a short pause, the end of a sentence, a link, brackets and quotes.
_MARKS = {
    ",": "，、､;；:：",
    ".": "。｡",
    "!": "！",
    "?": "？",
    "-": "‐‑‒–—―~～〜·•‧・−",
    "'": '"“”„‘’‚()（）[]［］{}【】《》〈〉「」『』〔〕',
    "…": "⋯",
    " ": "\n\r\t\u3000",
}
_TABLE = str.maketrans({one: mark for mark, same in _MARKS.items() for one in same})
_ELLIPSIS = re.compile(r"(?:\.{3}|…)[.…]*")

#: Han, kana, Hangul, Yi, their compatibility and half-width forms: each is a word of its own
HAN = "\u1100-\u11ff\u2e80-\ua4cf\ua840-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff65-\uffdc\U00020000-\U0002ffff"
_ALONE = re.compile(f"([{HAN}])")


def unify(text: str) -> str:
    """`text` with one mark for each kind of pause, quotes and brackets as apostrophes, white space as spaces."""
    return " ".join(_ELLIPSIS.sub("…", text.translate(_TABLE)).split())


def space_out(text: str) -> str:
    """`text` in upper case, with a space on both sides of each Han character and the like."""
    return " ".join(part for one in _ALONE.split(text) if (part := one.strip())).upper()
