"""Where quotations and brackets begin and end, so that a sentence is not cut inside one.

Knows nothing about sentences. One pass with a short stack: an opening mark that is never closed holds nothing together.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from typing import NamedTuple

#: a quotation longer than this is a speech of many sentences, and may be cut inside; characters
LONGEST_QUOTE = 240
#: how deep quotations nest in real text, generously
_DEEPEST = 8

CLOSES = {
    "(": ")", "[": "]", "{": "}", "（": "）", "［": "］", "｛": "｝", "【": "】", "〔": "〕", "〖": "〗", "《": "》",
    "〈": "〉", "「": "」", "『": "』", "“": "”", "‘": "’", "„": "“", "‚": "‘", "«": "»", "‹": "›", "〝": "〞",
}  # fmt: skip
#: characters that end a quotation or bracket, and stay with the sentence before them
CLOSERS = "\"'”’)]}）］｝】〕〗》〉」』»›〞"
OPENERS = "".join(CLOSES)

_MARK = re.compile("[" + re.escape('"' + "".join(sorted({*CLOSES, *CLOSES.values()}))) + "]")


class Spans(NamedTuple):
    """Outermost quotations, in order: `starts[i]` is the opening mark, `ends[i]` the closing one. `opening`: straight
    quotation marks that open."""

    starts: list[int]
    ends: list[int]
    opening: frozenset[int]

    def hold(self, border: int) -> bool:
        """Whether a cut before index `border` would fall inside a quotation."""
        number = bisect_right(self.starts, border - 1) - 1
        return number >= 0 and border <= self.ends[number]


def find_quotes(text: str) -> Spans:
    """The quotations and brackets of `text`, one paragraph, that are closed and not too long to be kept whole."""
    found: list[tuple[int, int]] = []
    opening: set[int] = set()
    waiting: deque[tuple[str, int]] = deque(maxlen=_DEEPEST)  # (what closes it, where it began)
    for match in _MARK.finditer(text):
        at, mark = match.start(), match.group()
        if mark == "’" and text[at + 1 : at + 2].isalpha() and text[at + 1] < "\u2e80":
            continue  # an apostrophe
        depth = next((up for up, (closer, _) in enumerate(reversed(waiting)) if closer == mark), -1)
        if depth >= 0:
            for _ in range(depth):
                waiting.pop()
            _, begun = waiting.pop()
            if at - begun <= LONGEST_QUOTE:
                while found and found[-1][0] > begun:
                    found.pop()
                found.append((begun, at))
        elif mark == '"':
            # 5" is a length, and a mark before a space closes nothing that was opened
            if not text[at - 1 : at].isdigit() and text[at + 1 : at + 2].strip():
                waiting.append((mark, at))
                opening.add(at)
        elif mark in CLOSES:
            waiting.append((CLOSES[mark], at))
    return Spans([start for start, _ in found], [end for _, end in found], frozenset(opening))
