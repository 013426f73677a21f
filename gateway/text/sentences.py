"""A paragraph into sentences: Mandarin, Japanese and English punctuation, mixed as people mix it.

Own rules for the marks that end a sentence wherever they stand (。！？), because a run such as "？！" and a closing
quote belong to the sentence before; sentencex for the full stop of spaced scripts, because it knows the abbreviations
("Dr.", "e.g.", "U.S.", "p.m.") of many languages. It sees the text with quotes, brackets and Han blanked out: it
misreads abbreviations next to Han, and its own search for closing quotes is quadratic.

A cut is never made inside a quotation, a number, a URL or "……". Knows nothing about length.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import pairwise

from gateway.text.characters import UNSPACED
from gateway.text.quotes import CLOSERS, OPENERS, Spans, find_quotes

_HARD = (
    "。！？\uff61\u061f\u06d4\u0964\u0965\u0589\u1362"  # then: half-width 。, Arabic, Urdu, Hindi, Armenian, Amharic
)
_RUN = re.compile(f"(?:[{_HARD}!?…‥．]|\\.)++")
_ANY_RUN = re.compile(f"[{_HARD}!?…‥．.]")
_HARD_MARK = re.compile(f"[{_HARD}!?]")
_CLOSERS = re.compile("[" + re.escape(CLOSERS) + "]*+")
#: after one of these a sentence has not ended: 你好！，他说 and 「はい。」、
_GOES_ON = frozenset("，、；：,;:。！？!?…．·・～~-—–" + CLOSERS) - {'"', "'"}
#: what may stand between a full stop and the next word
_TO_NEXT_WORD = re.compile(r"[\W_]{0,16}+")
_ENUMERATION = re.compile(r"\s*[(（]?(?:\d{1,3}(?:\.\d{1,3})*+|[A-Za-z]|[ivxIVX]{1,4})$")
_WIDE = re.compile(f"[{UNSPACED}]")
_BLANKED = re.compile("[" + re.escape(CLOSERS.replace("'", "").replace("’", "") + OPENERS) + UNSPACED + "]")
#: after a full stop a Han character stands for a word that begins a sentence
_HAN_AFTER_STOP = re.compile(rf"(?<=\.\s)[{UNSPACED}](?![A-Za-z])")
#: sentencex is given no more at once: its cost grows faster than the text; characters
_WINDOW = 4000


def split_sentences(paragraph: str, *, language: str = "", whole_quotes: bool = True) -> list[str]:
    """The sentences of a folded paragraph, in order, without the spaces between them; none is empty.

    `language` (base code) chooses the abbreviations. `whole_quotes=False` cuts inside quotations too.
    """
    first = _ANY_RUN.search(paragraph)
    if first is None or first.end() == len(paragraph):
        return [paragraph] if paragraph else []
    borders = find_borders(paragraph, language=language, whole_quotes=whole_quotes)
    if not borders:
        return [paragraph]
    cuts = [0, *borders, len(paragraph)]
    pieces = (paragraph[start:end].strip() for start, end in pairwise(cuts))
    return [piece for piece in pieces if piece]


def find_borders(text: str, *, language: str = "", whole_quotes: bool = True) -> list[int]:
    """Where sentences of one paragraph end: indices behind the last mark of each, the paragraph's end left out."""
    spans = find_quotes(text)
    stops: _Stops | None = None
    borders: list[int] = []
    begun = 0
    for match in _RUN.finditer(text):
        run, after_run = match.group(), match.end()
        end = _skip_closers(text, after_run, spans)
        if end >= len(text):
            break
        if whole_quotes and spans.hold(end):
            continue
        if _HARD_MARK.search(run):
            ends = _ends_hard(text, match, end, spans if whole_quotes else None)
        elif run == "." or run == "．":
            if _WIDE.match(text, end) or not text[end].isspace():
                ends = _ends_before_wide(text, match.start(), end)
            elif (
                _ENUMERATION.match(text[max(begun, match.start() - 12) : match.start()]) and match.start() - begun < 12
            ):
                ends = False
            else:
                stops = stops or _Stops(text, language)
                ends = stops.ends(match.start(), end) and not (end > after_run and _next_is_small(text, end))
        else:  # an ellipsis is a pause, and an end only where a capital letter starts anew
            ends = text[end].isspace() and text[end + 1 : end + 2].isupper()
        if ends:
            borders.append(end)
            begun = end
    return borders


def _skip_closers(text: str, at: int, spans: Spans) -> int:
    """The index behind the closing quotes and brackets at `at`; a straight quote that opens is none."""
    match = _CLOSERS.match(text, at)
    end = match.end() if match else at
    if spans.opening:
        opened = next((index for index in range(at, min(end, at + 8)) if index in spans.opening), end)
        end = opened
    if end > at and text[end - 1] == "'" and text[end : end + 1].isalnum():
        end -= 1  # a straight apostrophe or an opening mark
    return end


def _ends_hard(text: str, match: re.Match[str], end: int, spans: Spans | None) -> bool:
    following = text[end]
    if following in _GOES_ON:
        return False
    quoted = end > match.end()
    if following.isspace():
        return not (quoted and _next_is_small(text, end))
    if quoted and spans is not None and "\u3041" <= following <= "\u309f":
        return False  # 「はい。」と言った
    if quoted and spans is not None and _is_embedded(text, end, spans):
        return False
    if not match.group().isascii():
        return True
    before = text[match.start() - 1 : match.start()]
    return bool(_WIDE.match(following) or (before and _WIDE.match(before)) or following in '"“‘「『（《【')


def _is_embedded(text: str, end: int, spans: Spans) -> bool:
    """Whether the quotation that ends at `end` is part of a clause: 他一声“走！”吓了我一跳, not 他说：“走！”我走了。"""
    number = bisect_right(spans.starts, end - 1) - 1
    if number < 0 or spans.ends[number] >= end:
        return False
    start = spans.starts[number]
    return start > 0 and text[start - 1].isalnum()


def _ends_before_wide(text: str, stop: int, end: int) -> bool:
    """A full stop without a space after it ends a sentence only next to Han: 你好.再见, and "OK now.好的"."""
    before = text[max(stop - 3, 0) : stop]
    if not before or not _WIDE.match(text, end) or text[end] in _GOES_ON or text[end].isdigit():
        return False
    return bool(_WIDE.match(before[-1])) or (len(before) == 3 and before.isalpha() and before.islower())


def _next_is_small(text: str, end: int) -> bool:
    return text[end : end + 2].strip()[:1].islower()


class _Stops:
    """Which full stops of a text end a sentence, as sentencex sees it; asked window by window, in rising order."""

    def __init__(self, text: str, language: str) -> None:
        from sentencex import segment

        self._segment = segment
        self._language = language if language and language not in ("zh", "yue", "ja", "ko") else "en"
        self._text = text
        self._windowed = 0  # everything before this index has been asked
        self._starts: list[int] = [0]  # where sentences begin, rising

    def ends(self, stop: int, end: int) -> bool:
        """Whether a sentence begins between the stop and the next word."""
        following = _TO_NEXT_WORD.match(self._text, end)
        word = following.end() if following else end
        while self._windowed < len(self._text) and self._windowed <= word:
            self._read_window(stop)
        number = bisect_right(self._starts, stop)
        return number < len(self._starts) and self._starts[number] <= word

    def _read_window(self, stop: int) -> None:
        start = max(self._windowed - 64, 0)  # the abbreviation before a stop must be in sight
        window = _BLANKED.sub(" ", _HAN_AFTER_STOP.sub("X", self._text[start : self._windowed + _WINDOW]))
        at = start
        for sentence in self._segment(self._language, window):
            if at > self._starts[-1] and at >= self._windowed:
                self._starts.append(at)
            at += len(sentence)
        self._windowed = start + len(window)
