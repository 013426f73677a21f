"""How long a text will take to say: an estimate before anything is spoken, for plans and expected waits.

Rates from espeak-ng at its normal speed, near those of a narrator: 20 Mandarin characters took 5.2 s with their pauses,
102 English characters 5.45 s. Off by a third either way for other voices, and told nothing about them.
"""

from __future__ import annotations

from gateway.text.characters import count_wide

WIDE_S = 0.22  # a Han character, kana or Hangul syllable
LETTER_S = 0.065  # a letter of a script with spaces; the spaces are in it
DIGIT_S = 0.25  # read as a word
SENTENCE_S = 0.3  # the pause behind a sentence

_NO_LETTERS = bytes(set(range(128)) - {byte for byte in range(128) if chr(byte).isalpha()})
_NO_DIGITS = bytes(set(range(128)) - set(b"0123456789"))


def estimate_audio_s(text: str, sentences: int) -> float:
    """Seconds of speech at speed 1 for `text` of so many sentences."""
    ascii_part = text.encode("ascii", "ignore")
    letters = len(ascii_part.translate(None, _NO_LETTERS))
    digits = len(ascii_part.translate(None, _NO_DIGITS))
    wide = count_wide(text)
    others = max(len(text) - len(ascii_part) - wide, 0)  # letters of other scripts, accents, typographic marks
    return round(wide * WIDE_S + (letters + others) * LETTER_S + digits * DIGIT_S + sentences * SENTENCE_S, 3)
