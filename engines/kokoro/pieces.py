"""Cuts phonemes into pieces that the model takes, where a speaker would pause. Pure; knows nothing about a model."""

from __future__ import annotations

from collections.abc import Iterator

#: the model's context is 512 tokens, two of which stand around the phonemes
MOST_PHONEMES = 510

#: where to cut a sentence that is too long, the best first
_BORDERS = (";:—…", ",", " ", "/")
#: a cut sooner than this part of the limit would leave a fragment
_SOONEST = 0.3


def cut(phonemes: str, most: int = MOST_PHONEMES) -> Iterator[str]:
    """Pieces of at most `most` phonemes each, cut behind the last pause that fits; only space is left out there."""
    rest = phonemes.strip()
    while len(rest) > most:
        border = _border(rest, most)
        if piece := rest[:border].strip():
            yield piece
        rest = rest[border:].strip()
    if rest:
        yield rest


def _border(text: str, most: int) -> int:
    for signs in _BORDERS:
        if (found := max(text.rfind(sign, int(most * _SOONEST), most) for sign in signs)) >= 0:
            return found + 1
    return most
