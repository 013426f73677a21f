"""SSML: one well-formed document, checked and handed on whole, its words counted and its languages found.

The engine that takes SSML interprets it; nothing here does. Documents come from strangers: no document type, so no
entities to expand, and no endless nesting.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from engines.errors import InvalidRequest
from gateway.text.characters import SPEAKABLE, fold
from gateway.text.duration import estimate_audio_s
from gateway.text.language import find_language, normalise_tag
from gateway.text.script import Clause, Script

#: elements inside elements; real documents have five or so
DEEPEST = 64
_SENTENCE_ENDS = re.compile(r"[.!?。！？]+|</(?:p|s)\s*>")


def read_ssml(document: str, hint: str = "") -> Script:
    """A Script of one clause, the document. Raises InvalidRequest(param="input") with line and column."""
    document = document.strip("\ufeff \t\r\n")
    reader = _Reader()
    reader.read(document)
    text = fold("".join(part for _, part in reader.parts))
    if SPEAKABLE.search(text) is None:
        raise InvalidRequest("input has nothing to say: the SSML document holds no words", param="input")
    weights: dict[str, int] = {}
    for tag, part in reader.parts:
        language = tag or find_language(part, hint)
        if language:
            weights[language] = weights.get(language, 0) + len(part)
    main = reader.language or max(weights, key=weights.__getitem__, default=hint or "en")
    languages = sorted(weights, key=weights.__getitem__, reverse=True) or [main]
    sentences = len(_SENTENCE_ENDS.findall(document))
    return Script(
        clauses=(Clause(document, main),),
        chars=len(text),
        languages=tuple(languages),
        audio_s=estimate_audio_s(text, max(sentences, 1)),
        markup="ssml",
    )


def words_of(document: str) -> str:
    """What of a document is to be spoken, folded, as its characters are counted. Raises InvalidRequest."""
    reader = _Reader()
    reader.read(document)
    return fold("".join(part for _, part in reader.parts))


class _Reader:
    """The words of a document, each part with the base code that xml:lang gives it; the root's own in `language`."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, str]] = []
        self.language = ""
        self._languages: list[str] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._words

    def read(self, document: str) -> None:
        if not document.startswith("<"):
            raise _bad("the document must begin with <speak>", 1, 1)
        try:
            self._parser.Parse(document, True)
        except expat.ExpatError as error:
            raise _bad(expat.ErrorString(error.code) or "not well-formed", error.lineno, error.offset + 1) from None
        except UnicodeEncodeError:
            raise InvalidRequest("bad SSML: the text holds half of a surrogate pair", param="input") from None

    def _bad(self, what: str) -> InvalidRequest:
        return _bad(what, self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber + 1)

    def _refuse_doctype(self, *_: object) -> None:
        raise self._bad("a document type is not allowed; leave <!DOCTYPE …> out")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._languages and name.rpartition(":")[2] != "speak":
            raise self._bad(f"the root element is <{name[:40]}>, expected is <speak>")
        if len(self._languages) >= DEEPEST:
            raise self._bad(f"elements are nested more than {DEEPEST} deep")
        tag = attributes.get("xml:lang", "")
        try:
            language = normalise_tag(tag)
        except InvalidRequest:
            raise self._bad(f"xml:lang={tag[:40]!r} is not a language tag") from None
        if not self._languages:
            self.language = language
        self._languages.append(language or (self._languages[-1] if self._languages else ""))

    def _end(self, name: str) -> None:
        self._languages.pop()

    def _words(self, text: str) -> None:
        self.parts.append((self._languages[-1], text))


def _bad(what: str, line: int, column: int) -> InvalidRequest:
    return InvalidRequest(f"bad SSML at line {line}, column {column}: {what}", param="input")
