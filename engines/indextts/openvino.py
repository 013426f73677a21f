"""Runs a graph by OpenVINO, behind the same call as ONNX Runtime's session.

On processors that compute in bfloat16 it does so by itself. Knows nothing about what a graph is.
Properties: https://docs.openvino.ai, "CPU device".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from models.session import SessionError, count_threads


class OpenVinoNetwork:
    """network = OpenVinoNetwork(folder / "estimator.onnx")"""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """`threads` as `count_threads`. Raises SessionError when OpenVINO is missing, or refuses the graph."""
        try:
            import openvino
        except ImportError as error:
            raise SessionError(f"openvino is not installed ({error}); install it: pip install openvino") from None
        settings = {"INFERENCE_NUM_THREADS": count_threads(threads), "PERFORMANCE_HINT": "LATENCY"}
        try:
            self._compiled = openvino.Core().compile_model(path, "CPU", settings)
        except Exception as error:  # its errors have no base of their own but Exception
            raise SessionError(
                f"openvino cannot load {path}: {' '.join(str(error).split())[:300]}; say provider: onnxruntime"
            ) from error

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, npt.NDArray[Any]]) -> Sequence[Any]:
        """All outputs in their order; `output_names` is for other networks' sake. For one thread at a time."""
        made = self._compiled(dict(input_feed))
        return [made[one].copy() for one in self._compiled.outputs]
