"""The reference data of a tiny CosyVoice-300M-SFT: a checkpoint as released, and what the official code made of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.engines.reference import arrays, find_reference


@dataclass(frozen=True)
class Oracle:
    """The folder, and the golden arrays by the name of their file."""

    folder: Path

    def golden(self, name: str) -> Mapping[str, np.ndarray]:
        """The arrays of NAME.npz: `oracle.golden("05_flow_short")["mel"]`."""
        return arrays(self.folder / f"{name}.npz")


def find_oracle() -> Oracle:
    """Where the environment says it is; skips the test when it is not there."""
    return Oracle(find_reference("cosyvoice-tiny"))
