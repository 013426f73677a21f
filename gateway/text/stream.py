"""A text that comes in pieces, cut into parts of some thousand characters at paragraphs or sentences.

Holds one part and one piece in memory, whatever the length of the whole. Fenced code is left out here, because a fence
may be longer than a part. Knows nothing about scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: characters of one part: minutes of speech, and milliseconds to prepare
PART = 4000
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"[。！？][”’」』）]*|[.!?][\"'”’)]*\s")
_SPACE = re.compile(r"\s")
_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})", re.MULTILINE)


def cut_stream(pieces: Iterable[str], *, part: int = PART) -> Iterator[str]:
    """Parts of the text in order; nothing but fenced code is lost. No part is longer than `part` characters."""
    held = ""
    fence = ""  # the mark that opened the code that is being skipped
    for piece in pieces:
        for start in range(0, len(piece), part):
            held += piece[start : start + part]
            while len(held) > part:
                fence, text, held = _take(held, fence, part)
                if text:
                    yield text
    while held:
        fence, text, held = _take(held, fence, part, last=True)
        if text:
            yield text


def _take(held: str, fence: str, part: int, *, last: bool = False) -> tuple[str, str, str]:
    """(open fence, the next part or "", what is held still). Takes something whenever `held` is longer than `part`."""
    if fence:
        closing = re.search(rf"^[ \t]{{0,3}}{re.escape(fence)}[`~]*[ \t\r]*$", held, re.MULTILINE)
        if closing is not None:
            return "", "", held[closing.end() :]
        # the end of what was read may be the beginning of the closing line
        return fence, "", "" if last else held[-(len(fence) + 8) :]
    opening = _FENCE.search(held)
    if opening is not None and opening.start() < part:
        return opening.group(1), held[: opening.start()], held[opening.end() :]
    if len(held) <= part:
        return "", held, ""
    cut = _cut(held, part)
    return "", held[:cut], held[cut:]


def _cut(held: str, part: int) -> int:
    """Where to end a part: behind the last paragraph, line, sentence or word in its second half, else anywhere."""
    for border in (_BLANK_LINE, _LINE, _SENTENCE, _SPACE):
        ends = [match.end() for match in border.finditer(held, part // 2, part)]
        if ends:
            return ends[-1]
    return part
