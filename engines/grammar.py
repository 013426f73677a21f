"""Reads out numbers, dates, units and money in Mandarin, English or Japanese, with the grammars of wetext.

wetext (https://github.com/pengzhendong/wetext) has WeTextProcessing's grammars as transducers, in its package: nothing
is fetched. It is imported with the first text: half a second, 45 MB. Knows nothing about any engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

Language = Literal["zh", "en", "ja"]

# A transducer's time and memory grow faster than its text: 20,000 characters at once take 9 s and 600 MB, in sentences
# 2 s. Cut behind marks that no number contains; where they are far apart, behind a full stop, else at white space.
_END = "。！？；，、!?;\n"
_SENTENCE = re.compile(
    rf"(?:[^{_END}]{{1,200}}(?=[{_END}]|$)|[^{_END}]{{1,200}}(?<=\.)(?=\s)|[^{_END}]{{1,200}}(?=\s)|[^{_END}]{{1,200}})"
    rf"[{_END}]*|[{_END}]+"
)
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?!\d)")
_NUMBER = re.compile(r"(\d+(?:\.\d+)*)")


class Grammar:
    """The languages' grammars, each loaded when it is needed."""

    def __init__(self) -> None:
        self._loaded: dict[Language, Any] = {}

    def read(self, text: str, language: Language) -> Iterator[str]:
        """`text` with its numbers and signs in words, sentence by sentence. White space at its ends is kept."""
        if language != "en":
            text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
        # both come back from the grammars with backslashes before them
        text = text.replace("\\", " ").replace('"', "'")
        return (self._read(match[0], language) for match in _SENTENCE.finditer(text))

    def _read(self, sentence: str, language: Language) -> str:
        body = sentence.strip()
        if not body or body.isalpha():
            return sentence
        begin = sentence.index(body)
        return sentence[:begin] + self._words(body, language) + sentence[begin + len(body) :]

    def _words(self, body: str, language: Language) -> str:
        grammar = self._loaded.get(language) or self._load(language)
        # English has no path for two spaces, nor for a number that clings to a sign or letter it does not know: there
        # each number is set apart
        for attempt in (body, _NUMBER.sub(r" \1 ", body)):
            try:
                return str(grammar.normalize(" ".join(attempt.split())))
            except AssertionError:
                continue
        return body

    def _load(self, language: Language) -> Any:
        from wetext import Normalizer

        return self._loaded.setdefault(language, Normalizer(lang=language, operator="tn"))
