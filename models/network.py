"""What runs a graph: ONNX Runtime's session, or whatever else is called like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt


class Network(Protocol):
    """A loaded graph."""

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, npt.NDArray[Any]]) -> Sequence[Any]:
        """The outputs of these names, all in their order if None. May be called by several threads at once."""
        ...
