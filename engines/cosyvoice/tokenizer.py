"""Ids of a text's tokens in Whisper's multilingual vocabulary, by tiktoken (https://github.com/openai/tiktoken).

The vocabulary is a file of ranks, one per line, that Whisper's own package has; behind the ranks come names such as
`<|zh|>`, which stand for ids of their own. Radford et al., arXiv:2212.04356. Knows nothing about what a text means.
"""

from __future__ import annotations

import base64
from pathlib import Path

from engines.errors import Unavailable

#: the vocabulary's name, wherever it lies
RANKS_NAME = "multilingual.tiktoken"
#: GPT-2's way to cut a text into words, none of which shares a token with the next
_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
#: in the order of their ids
_LANGUAGES = """
en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml cy sk
te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo
ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue
"""
_TASKS = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
_SPECIAL = ("endoftext", "startoftranscript", *_LANGUAGES.split(), *_TASKS, *(f"{at / 50:.2f}" for at in range(1501)))


class Tokenizer:
    """tokenizer = Tokenizer(folder / RANKS_NAME, 51866); tokenizer.ids("<|zh|>你好")"""

    def __init__(self, ranks: Path, size: int) -> None:
        """size: of the model's vocabulary. Raises Unavailable when the file is missing, damaged or of another size."""
        import tiktoken

        read = _read(ranks)
        special = {f"<|{name}|>": len(read) + place for place, name in enumerate(_SPECIAL)}
        if len(read) + len(special) != size:
            raise Unavailable(
                f"{ranks.name} has {len(read)} tokens, with which the model's vocabulary would have "
                f"{len(read) + len(special)}; it has {size}: another vocabulary belongs to this model"
            )
        self._encoding = tiktoken.Encoding(
            ranks.name, pat_str=_WORDS, mergeable_ranks=read, special_tokens=special, explicit_n_vocab=size
        )

    def ids(self, text: str) -> list[int]:
        return self._encoding.encode(text, allowed_special="all")


def _read(path: Path) -> dict[bytes, int]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        pairs = [line.split() for line in lines if line]
        # Not strictly: the published file's last token is a lone "=", for nothing.
        return {base64.b64decode(token): int(rank) for token, rank in pairs}
    except OSError as error:
        raise Unavailable(f"{path} cannot be read ({error.strerror}): export the bundle again") from error
    except ValueError as error:
        raise Unavailable(f"{path} is no vocabulary ({error}): export the bundle again") from error
