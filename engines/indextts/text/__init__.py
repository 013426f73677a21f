"""The text front end of IndexTTS-2: text in, ids of text tokens out, cut into segments that are spoken in one go.

Numbers and signs are read out, characters the model does not know become ones it does, what is left becomes pieces of
the release's vocabulary. Blocks, and is for any thread. Knows nothing about networks, voices or the engine.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import islice
from pathlib import Path

from engines.errors import InvalidRequest, Unsupported
from engines.grammar import Grammar
from engines.indextts.text.characters import unify
from engines.indextts.text.normalise import Read, normalise
from engines.indextts.text.segments import cut_segments
from engines.indextts.text.tokenizer import Tokenizer
from models.slices import whole


class Front:
    """front = Front(folder / "bpe.model"); front.segments("你好。")

    Without `normalise`, texts come as they are to be spoken, and no number is read out.
    """

    def __init__(self, bpe: Path, *, normalise: bool = True) -> None:
        """Raises Unavailable when the vocabulary cannot be read."""
        self._tokenizer = Tokenizer(bpe)
        self._read: Read = Grammar().read if normalise else (lambda text, _: (text,))

    def segments(self, text: str, max_tokens: int = 120, first_tokens: int = 0, language: str = "") -> list[list[int]]:
        """As `reading`, in one go."""
        return whole(self.reading(text, max_tokens, first_tokens, language))

    def reading(
        self, text: str, max_tokens: int = 120, first_tokens: int = 0, language: str = ""
    ) -> Generator[None, None, list[list[int]]]:
        """Ids of the tokens of each segment, in order: all of them are those of the whole text. Stops at each sentence,
        for other work or for good.

        No segment has more than `max_tokens`. Those that end within the first `first_tokens` stay as short as sentences
        are, so that speaking can begin early. `language`: a base code, which decides how numbers are read where the
        text leaves it open. Raises InvalidRequest when there is nothing to say, Unsupported when it is in no script
        that the model reads.
        """
        pieces = yield from self._pieces(text, language)
        return [self._tokenizer.ids(one) for one in cut_segments(pieces, max_tokens, first_tokens)]

    def halves(self, ids: Sequence[int]) -> list[list[int]]:
        """The tokens of a segment in shorter ones, none with more than half of them, cut where it is heard least; a
        single token stays as it is."""
        pieces = self._tokenizer.pieces_of(ids)
        shorter = cut_segments(pieces, (len(pieces) + 1) // 2)
        left = iter(ids)
        return [list(islice(left, len(one))) for one in shorter]

    def pieces(self, text: str, language: str = "") -> list[str]:
        """The tokens of the whole text as strings. Raises as `reading` does."""
        return whole(self._pieces(text, language))

    def _pieces(self, text: str, language: str) -> Generator[None, None, list[str]]:
        parts = []
        for part in normalise(text, self._read, language):
            parts.append(part)
            yield
        spoken = unify("".join(parts))
        if not any(map(str.isalnum, spoken)):
            raise InvalidRequest("there is nothing to say in this text: no letter, no number", param="input")
        pieces = self._tokenizer.pieces(spoken)
        if not any(self._tokenizer.knows(one) for one in pieces if any(map(str.isalnum, one))):
            raise Unsupported(
                "the model reads Mandarin and English, and no character of this text: choose another engine for it",
                param="input",
            )
        return pieces
