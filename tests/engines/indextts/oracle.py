"""The reference data of a tiny IndexTTS-2: a checkpoint as released, and what the official code made of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.engines.reference import arrays, find_reference


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
        return arrays(self.folder / "golden" / f"{name}.npz")

    def texts(self) -> list[dict[str, Any]]:
        """golden/text.json: texts with their tokens, ids and segments."""
        return json.loads((self.folder / "golden" / "text.json").read_text(encoding="utf-8"))


def find_oracle() -> Oracle:
    """Where the environment says it is; skips the test when it is not there."""
    return Oracle(find_reference("indextts2-tiny"))
