"""Where the reference data of tiny models is: checkpoints as released, and what the official code made of them."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest

VARIABLE = "VOXGATE_ORACLE_DIR"


def find_reference(name: str) -> Path:
    """The folder of one model, where the environment says it is; skips the test when it is not there."""
    root = os.environ.get(VARIABLE)
    if not root:
        pytest.skip(f"${VARIABLE} is not set: no reference data")
    folder = Path(root) / name
    if not folder.is_dir():
        pytest.skip(f"no reference data at {folder}")
    return folder


@cache
def arrays(path: Path) -> Mapping[str, np.ndarray]:
    """The arrays of an .npz file by name. They are shared: nobody writes into them."""
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}
