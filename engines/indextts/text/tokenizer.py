"""Pieces of the release's vocabulary, by sentencepiece (https://github.com/google/sentencepiece), and their ids.

Knows nothing about what a text means or how long a segment may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engines.errors import Unavailable
from engines.indextts.text.characters import space_out


class Tokenizer:
    """tokenizer = Tokenizer(folder / "bpe.model"); tokenizer.ids(tokenizer.pieces("你好"))"""

    def __init__(self, path: Path) -> None:
        """Raises Unavailable when the file is missing or damaged."""
        import sentencepiece

        try:
            self._model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise Unavailable(f"{path.name} cannot be read ({error}): export or pull the bundle again") from error

    def pieces(self, text: str) -> list[str]:
        """Han characters apart, upper case; characters that the vocabulary lacks are pieces too."""
        return list(self._model.encode(space_out(text), out_type=str))

    def ids(self, pieces: Sequence[str]) -> list[int]:
        """An id for each piece; all that the vocabulary lacks have the one for the unknown."""
        return [self._model.piece_to_id(one) for one in pieces]

    def pieces_of(self, ids: Sequence[int]) -> list[str]:
        """The piece of each id; all that the vocabulary lacks come back as one and the same."""
        return [self._model.id_to_piece(one) for one in ids]

    def knows(self, piece: str) -> bool:
        """Whether the vocabulary has it."""
        return bool(self._model.piece_to_id(piece) != self._model.unk_id())
