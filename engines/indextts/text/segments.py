"""Cuts the tokens of a text into segments short enough to be spoken in one go.

At the ends of sentences; where these are too far apart, at commas, then at hyphens, then anywhere. Neighbours that fit
into one segment are joined again. Knows tokens as sentencepiece writes them, and nothing of their ids.
"""

from __future__ import annotations

from collections.abc import Sequence

#: what sentencepiece writes for the space before a word
_SPACE = "▁"
_ENDS = frozenset((".", "!", "?", "...", "…"))
#: marks to cut behind, the best ones first
_MARKS = (_ENDS, frozenset((",",)), frozenset(("-",)))
#: what goes with the mark before it: a second one, or a quote's end (a quote's begin has a space before it)
_CLINGING = _ENDS | {"'"}


def cut_segments(pieces: Sequence[str], limit: int, first: int = 0) -> list[list[str]]:
    """Segments of at most `limit` pieces; together they are `pieces`.

    No two are joined where the second one ends within the `first` pieces.
    """
    return _cut(pieces, max(1, limit), first, _MARKS)


def _cut(pieces: Sequence[str], limit: int, first: int, marks: Sequence[frozenset[str]]) -> list[list[str]]:
    segments: list[list[str]] = []
    current: list[str] = []
    for number, piece in enumerate(pieces, 1):
        current.append(piece)
        if len(current) > limit:  # known only now, so the piece too many is part of what is cut
            segments += _cut_longer(current, limit, first, marks[1:])
            current = []
        elif piece.removeprefix(_SPACE) in marks[0] and not (number < len(pieces) and pieces[number] in _CLINGING):
            segments.append(current)
            current = []
    if current:
        segments.append(current)
    return _join(segments, limit, first)


def _cut_longer(pieces: Sequence[str], limit: int, first: int, marks: Sequence[frozenset[str]]) -> list[list[str]]:
    """At the first of the marks that there is, else behind as many pieces as may be."""
    for number, one in enumerate(marks):
        if any(piece.removeprefix(_SPACE) in one for piece in pieces):
            return _cut(pieces, limit, first, marks[number:])
    return [list(pieces[:limit]), list(pieces[limit:])]


def _join(segments: Sequence[list[str]], limit: int, first: int) -> list[list[str]]:
    joined: list[list[str]] = []
    end = 0
    for segment in segments:
        end += len(segment)
        if joined and end > first and len(joined[-1]) + len(segment) <= limit:
            joined[-1] = joined[-1] + segment
        else:
            joined.append(segment)
    return joined
