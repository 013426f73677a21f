"""The reference data of a tiny IndexTTS-2: a checkpoint as released, and what the official code made of it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

VARIABLE = "VOXGATE_ORACLE_DIR"


@dataclass(frozen=True)
class Oracle:
    """Paths, and the golden arrays by the name of their file."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def ref_wav(self) -> Path:
        return self.folder / "ref.wav"

    def golden(self, name: str) -> Mapping[str, np.ndarray]:
        """The arrays of golden/NAME.npz: `oracle.golden("gpt")["prefix_embeds"]`."""
        return _arrays(self.folder / "golden" / f"{name}.npz")

    def texts(self) -> list[dict[str, Any]]:
        """golden/text.json: texts with their tokens, ids and segments."""
        return json.loads((self.folder / "golden" / "text.json").read_text(encoding="utf-8"))


@cache
def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def find_oracle() -> Oracle:
    """Where the environment says it is; skips the test when it is not there."""
    root = os.environ.get(VARIABLE)
    if not root:
        pytest.skip(f"${VARIABLE} is not set: no reference data")
    folder = Path(root) / "indextts2-tiny"
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}")
    return Oracle(folder)
