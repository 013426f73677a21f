"""How a text is said: its sentences as phonemes, Han characters by Mandarin and all else by espeak-ng, in one line.

One voice says both, so that there are no seams. espeak-ng is GPL-3.0-or-later: only a worker process may make a Reader.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

from engines.kokoro.letters import respell
from engines.kokoro.mandarin import spell
from engines.kokoro.vocabulary import Vocabulary
from engines.phonemes.espeak import Library, locate
from engines.phonemes.numerals import say_numbers

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
#: Han characters, with all signs behind them and what opens before
_RUN = re.compile(f"[《「『【“（]?[{_HAN}](?:[{_HAN}]|[^\\w])*")
_ENDS = re.compile("(?<=[。．！？!?\n])(?![。．！？!?”’」』）)])")


class Reader:
    """One espeak-ng, opened. For several threads, one of which reads at a time: a sentence takes a millisecond."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Raises Unavailable when espeak-ng cannot be opened."""
        self._vocabulary = vocabulary
        self._lock = threading.Lock()
        self._espeak = Library(*locate())

    def close(self) -> None:
        with self._lock:
            self._espeak.close()

    def sentences(self, text: str, language: str, espeak_voice: str) -> list[str]:
        """Each sentence's phonemes, all of which the model knows; none when nothing of the text has a sound.

        Numbers are said in `language`, whatever stands beside them.
        """
        if language == "zh":
            text = say_numbers(text)
        with self._lock:
            self._espeak.set_voice(espeak_voice)
            found: list[str] = []
            parts: list[str] = []
            for phonemes, ends in self._parts(text, espeak_voice):
                parts.append(phonemes)
                if ends:
                    found.append(" ".join(parts))
                    parts = []
            found.append(" ".join(parts))
        known = (self._vocabulary.known(one).strip() for one in found)
        return [one for one in known if any(map(str.isalpha, one))]

    def _parts(self, text: str, espeak_voice: str) -> Iterator[tuple[str, bool]]:
        """Phonemes, and whether a sentence ends with them."""
        done = 0
        for run in _RUN.finditer(text):
            yield from self._other(text[done : run.start()], espeak_voice)
            *ended, last = _ENDS.split(run[0])
            for piece in ended:
                yield spell(piece, self._vocabulary.alphabet), True
            if last.strip():
                yield spell(last, self._vocabulary.alphabet), False
            done = run.end()
        yield from self._other(text[done:], espeak_voice)

    def _other(self, text: str, espeak_voice: str) -> Iterator[tuple[str, bool]]:
        if not any(map(str.isalnum, text)):
            return
        for clause in self._espeak.clauses(text):
            yield respell(clause.ipa, espeak_voice) + clause.end, clause.ends_sentence
