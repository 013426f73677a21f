"""The text of a request in pieces that one task may hold, cut where a sentence ends if there is such a place.

Knows nothing about voices or the service, but how much it takes at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engines.contract import SpeechRequest
from engines.errors import Unsupported

#: characters that a task of Sambert may have. CosyVoice takes 20,000 at once, of which each Han character is two
MOST_CHARS = 10_000
#: where a text may be cut, the best first: behind sentences, parts of sentences, words
_BORDERS = (
    re.compile(r"[。！？…]+[”’」』）]*|[.!?]+[”’\"')]*(?=\s)|\n"),
    re.compile(r"[，、；：]|[,;:](?=\s)"),
    re.compile(r"\s"),
)
_TAG = re.compile(r"<[^>]*>")
_PROLOG = re.compile(r"\s*<\?xml[^>]*\?>\s*")


def pieces_of(request: SpeechRequest, most: int = MOST_CHARS) -> list[str]:
    """What is sent for a request, task by task. Raises Unsupported: nothing to say, or a document that is too long."""
    if request.markup == "ssml":
        document = _PROLOG.sub("", request.text, count=1)
        words = _TAG.sub("", document)
        if len(words) > most:
            raise Unsupported(f"this engine takes no SSML with more than {most} characters of text", param="input")
        pieces = [document] if _is_speakable(words) else []
    else:
        pieces = [piece for piece in cut(request.text, most) if _is_speakable(piece)]
    if not pieces:
        raise Unsupported("there is nothing to speak in this text", param="input")
    return pieces


def cut(text: str, most: int) -> Iterator[str]:
    """`text` in pieces of at most `most` characters; joined they are the text again.

    A sentence that alone is longer is cut at a comma, else between words, else anywhere.
    """
    while len(text) > most:
        at = _last_border(text, most)
        yield text[:at]
        text = text[at:]
    yield text


def _is_speakable(text: str) -> bool:
    return any(map(str.isalnum, text))


def _last_border(text: str, most: int) -> int:
    for border in _BORDERS:
        # one character more is looked at: a full stop is a border where a space follows
        ends = [found.end() for found in border.finditer(text, 0, most + 1) if found.end() <= most]
        if ends:
            return ends[-1]
    return most
