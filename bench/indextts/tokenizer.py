"""Writes a tokenizer in which every Han character and every short run of letters is a token: no training, no corpus.

Texts so have about as many tokens as with the published one: a character each in Mandarin, a few letters in English.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator
from pathlib import Path

_SPACE = "▁"  # what sentencepiece puts for a blank
_SPECIAL = ("<s>", "</s>", "<unk>")


def write_tokenizer(path: Path, tokens: int) -> None:
    """A sentencepiece model of exactly `tokens` pieces, the special ones as 0, 1 and 2."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    kinds = sentencepiece_model_pb2.ModelProto.SentencePiece
    for name, kind in zip(_SPECIAL, (kinds.CONTROL, kinds.CONTROL, kinds.UNKNOWN), strict=True):
        model.pieces.add(piece=name, score=0.0, type=kind)
    for rank, piece in enumerate(itertools.islice(_pieces(), tokens - len(_SPECIAL))):
        model.pieces.add(piece=piece, score=-float(rank), type=kinds.NORMAL)
    for number in range(len(model.pieces), tokens):
        model.pieces.add(piece=f"<unused {number}>", score=0.0, type=kinds.UNUSED)
    trainer, normaliser = model.trainer_spec, model.normalizer_spec
    trainer.model_type = trainer.BPE
    trainer.vocab_size = tokens
    trainer.bos_id, trainer.eos_id, trainer.unk_id, trainer.pad_id = 0, 1, 2, -1
    normaliser.name, normaliser.add_dummy_prefix, normaliser.remove_extra_whitespaces = "identity", True, True
    path.write_bytes(model.SerializeToString())


def _pieces() -> Iterator[str]:
    letters = string.ascii_uppercase
    singles = [*letters, *string.digits, *",.!?-'…"]
    yield from (_SPACE, *singles)
    yield from (_SPACE + one for one in singles)
    yield from (first + second for first in letters for second in letters)
    yield from (_SPACE + one for one in _han())


def _han() -> Iterator[str]:
    """The 6763 characters of GB 2312."""
    for row, column in itertools.product(range(0xB0, 0xF8), range(0xA1, 0xFF)):
        character = bytes((row, column)).decode("gb2312", errors="ignore")
        if character:
            yield character
