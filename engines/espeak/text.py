"""Makes a text safe for espeak-ng and sees whether there is anything to say. Pure; knows nothing about voices.

In a plain text, control characters are commands to espeak-ng (`\\x01 90P` changes the pitch). In SSML, some elements
reach files or take any duration. Both come from the outside.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from engines.errors import InvalidRequest

#: elements that espeak-ng takes, and the attributes passed on; of other elements the content alone is spoken
_SSML: Final[dict[str, frozenset[str]]] = {
    "speak": frozenset(),
    "p": frozenset(),
    "s": frozenset(),
    "break": frozenset({"strength", "time"}),
    "prosody": frozenset({"rate", "pitch", "range", "volume"}),
    "emphasis": frozenset({"level"}),
    "say-as": frozenset({"interpret-as", "format"}),
    "sub": frozenset({"alias"}),
}
_SILENT = frozenset({"metadata", "meta", "lexicon", "desc", "script", "style", "mark"})
_MAX_DEPTH = 16  # espeak-ng's own stack of elements is 20 deep
_MAX_BREAK_MS = 10_000
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s)\s*")

#: symbols beside letters and digits that are read as words: currencies, mathematics and these
_SPOKEN_CATEGORIES = frozenset({"Sc", "Sm"})
_SPOKEN_PUNCTUATION = frozenset("%&@#©®°％＆＠＃℃℉")


def clean(text: str) -> str:
    """The text with every control character and lone surrogate as a space: as many code points as before."""
    return "".join(char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs") else " " for char in text)


def require_speakable(text: str) -> None:
    """Raises InvalidRequest when no character of the text would be heard."""
    if not any(map(_spoken, text)):
        raise InvalidRequest("there is nothing to say: the text has no letter, digit or spoken sign", param="input")


def _spoken(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "LN" or category in _SPOKEN_CATEGORIES or char in _SPOKEN_PUNCTUATION


def parse_ssml(markup: str) -> tuple[str, str]:
    """SSML reduced to what is safe, and the words in it. A fragment without `<speak>` is taken too.

    Raises InvalidRequest: not well formed, nested too deeply, or with a document type.
    """
    if "<!DOCTYPE" in markup or "<!ENTITY" in markup:
        raise InvalidRequest("SSML with a document type is not taken", param="input")
    try:
        root = ElementTree.fromstring(markup)
    except ElementTree.ParseError:
        try:
            root = ElementTree.fromstring(f"<speak>{markup}</speak>")
        except (ElementTree.ParseError, ValueError) as error:
            raise InvalidRequest(f"the SSML is not well formed: {error}", param="input") from error
    out: list[str] = []
    words: list[str] = []
    _write(root, out, words, 0)
    inner = "".join(out)
    return (inner if inner.startswith("<speak") else f"<speak>{inner}</speak>"), " ".join(words)


def _write(element: ElementTree.Element, out: list[str], words: list[str], depth: int) -> None:
    if depth >= _MAX_DEPTH:
        raise InvalidRequest(f"the SSML is nested more than {_MAX_DEPTH} elements deep", param="input")
    name = element.tag.rpartition("}")[2]
    if name in _SILENT:
        return
    allowed = _SSML.get(name)
    empty = not element.text and not len(element)  # `</break>` is no tag to espeak-ng
    if allowed is not None:
        attributes = {key: value for key, value in element.attrib.items() if key in allowed}
        if "time" in attributes:
            attributes["time"] = _bounded(attributes["time"])
        out.append(
            f"<{name}{''.join(f' {key}={quoteattr(value[:100])}' for key, value in attributes.items())}{'/' * empty}>"
        )
        words.append(attributes.get("alias", ""))
    if element.text:
        out.append(escape(element.text))
        words.append(element.text)
    for child in element:
        _write(child, out, words, depth + 1)
        if child.tail:
            out.append(escape(child.tail))
            words.append(child.tail)
    if allowed is not None and not empty:
        out.append(f"</{name}>")


def _bounded(time: str) -> str:
    match = _DURATION.fullmatch(time)
    if match is None:
        raise InvalidRequest(f"the SSML has a break of time {time!r}; write 300ms or 1.5s", param="input")
    ms = float(match[1]) * (1000 if match[2] == "s" else 1)
    return f"{round(min(ms, _MAX_BREAK_MS))}ms"
