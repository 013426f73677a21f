"""Copies of the oracle's release that can be exported, or broken first."""

import base64
import shutil
from pathlib import Path

from engines.cosyvoice.layout import Release
from engines.cosyvoice.tokenizer import RANKS_NAME
from tests.engines.cosyvoice.oracle import Oracle

#: a vocabulary's names behind its ranks
NAMES = 1609


def copy_release(oracle: Oracle, folder: Path) -> Path:
    """With a vocabulary of as many tokens as the model's: the single bytes, and others that no text has."""
    folder.mkdir()
    for pattern in ("*.yaml", "*.pt"):
        for path in oracle.folder.glob(pattern):
            shutil.copyfile(path, folder / path.name)
    ranks = range(Release.find(folder).sizes.lm.text_tokens - NAMES)
    lines = [f"{base64.b64encode(rank.to_bytes(1 if rank < 256 else 3)).decode()} {rank}" for rank in ranks]
    (folder / RANKS_NAME).write_text("\n".join(lines), encoding="ascii")
    return folder
