"""Character by character: what is never speech (controls, bidi marks, emoji), and which characters are wide.

Knows nothing about sentences, languages or markup. Everything here is linear in the text, and text that holds
nothing odd is recognised by one pass in C.
"""

from __future__ import annotations

import re
import unicodedata

#: Han, kana and their punctuation, full-width forms, Hangul: a syllable or so each, where a Latin letter is a fifth
WIDE = (
    "\u1100-\u11ff\u2e80-\u2fff\u3001-\u303f\u3040-\u33ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7af\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff"
)
#: scripts written without spaces between words; Hangul is written with them
UNSPACED = "\u2e80-\u2fff\u3001-\u30ff\u31f0-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff60\U00020000-\U0003ffff"

#: Chinese characters, also where they write Japanese or Korean
HAN = "\u2e80-\u2fdf\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAN_RUN = re.compile(f"[{HAN}]+")
WIDE_RUN = re.compile(f"[{WIDE}]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")

#: something that a voice can say: a letter or a digit of any script
SPEAKABLE = re.compile(r"[^\W_]")

# Controls, soft hyphen, zero-width and bidi marks, byte order mark, lone surrogates, non-characters. Joiners (U+200C,
# U+200D) stay between letters of Arabic and Indic scripts, where they change the word; U+200D also holds emoji
# together until `drop_emoji` takes them out.
_NEVER = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]+"
)
_JOINERS = re.compile(
    "(?<![\u0600-\u0fff])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\u0fff])|[\ufe00-\ufe0f\u20e3\U000e0100-\U000e01ef]"
)

# Pictures, regional indicators, skin tones and tag characters. Not: © ® ™, arrows and signs that are text unless
# U+FE0F follows, and the circled digits of the Dingbats block (U+2776 to U+2793), which are numbers.
_PICTURE = (
    "[\U0001f000-\U0001f0ff\U0001f170-\U0001faff\u2600-\u2752\u2758-\u2775\u2794-\u27bf\u231a\u231b\u2328\u23cf"
    "\u23e9-\u23f3\u23f8-\u23fa\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55"
    "\u3030\u303d\U000e0020-\U000e007f]"
)
_EMOJI = re.compile(
    f" ?(?:(?:{_PICTURE}|[\u2139\u2194-\u2199\u21a9\u21aa\u24c2\u3297\u3299]\ufe0f)[\ufe0e\ufe0f\u200d]*+ ?)++"
)
_MAY_BE_EMOJI = re.compile(
    "[\u200c\u200d\u20e3\u2139-\u27bf\u2934-\u2b55\u3030\u303d\u3297\u3299\ufe00-\ufe0f\U0001f000-\U000e01ff]"
)
_KEYCAP = re.compile("([0-9])\ufe0f?\u20e3|[#*]\ufe0f?\u20e3")
_EMOJI_MARKS = str.maketrans({"❓": "?", "❔": "?", "❗": "!", "❕": "!"})
#: no space is left where an emoji stood before one of these
_LEANS_BACK = frozenset(".,;:!?…。，、；：！？)]}）】》」』”’")


def clean(text: str) -> str:
    """`text` in Unicode's composed form without characters that are not text; every kind of line end becomes `\\n`.

    NFC, not NFKC: full-width forms and ligatures are what the writer chose, and engines read them.
    """
    if text.isascii():
        if text.isprintable():
            return text
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\v", "\n").replace("\f", "\n\n")
        return _NEVER.sub("", text)
    if not text.isprintable():
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\v", "\n").replace("\f", "\n\n")
        text = text.replace("\x85", "\n").replace("\u2028", "\n").replace("\u2029", "\n\n")
        text = _NEVER.sub("", text)
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def fold(line: str) -> str:
    """`line` with every run of white space, line ends too, as one space, and none at its ends."""
    return " ".join(line.split())


def drop_emoji(text: str) -> str:
    """Folded `text` without emoji, variation selectors and stray joiners; a keycap leaves its digit."""
    if text.isascii() or _MAY_BE_EMOJI.search(text) is None:
        return text
    text = _KEYCAP.sub(r"\1", text).translate(_EMOJI_MARKS)

    def gap(match: re.Match[str]) -> str:
        after = match.end()
        at_an_end = match.start() == 0 or after == len(text)
        return "" if at_an_end or text[after] in _LEANS_BACK else " "

    return _JOINERS.sub("", _EMOJI.sub(gap, text)).strip()


def count_wide(text: str) -> int:
    """How many characters of `text` are wide: Han, kana, Hangul, full-width forms."""
    return 0 if text.isascii() else len(text) - len(WIDE_RUN.sub("", text))


def count_han(text: str) -> int:
    """How many characters of `text` are Chinese."""
    return 0 if text.isascii() else len(text) - len(_HAN_RUN.sub("", text))


def is_unspaced(character: str) -> bool:
    """Whether a line break beside `character` stands for nothing: Han, kana and their punctuation."""
    return _UNSPACED.match(character) is not None
