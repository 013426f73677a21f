"""A Qwen3 model at run time: ids of a prompt in, the likeliest answer out, token by token.

Knows nothing about texts or what is asked. Blocks; one answer at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.session import open_session


class Qwen:
    """model = Qwen(folder / "qwen.onnx"); next(model.answer(ids, 100))"""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Open the graph. Raises SessionError."""
        self._session = open_session(path, threads)
        # [1, heads, capacity, head width]: what the buffers must be like, the graph says
        self._shapes = {one.name: one.shape for one in self._session.get_inputs() if one.name.startswith("past_")}
        (self._tokens,) = (one.shape[-1] for one in self._session.get_outputs() if one.name == "logits")

    def answer(self, ids: Sequence[int], most: int) -> Iterator[int]:
        """The likeliest token after `ids`, then the one after that, up to `most`: whoever takes them knows the end."""
        buffers = {
            name: np.zeros((1, heads, len(ids) + most, width), np.float32)
            for name, (_, heads, _, width) in self._shapes.items()
        }
        logits, total = np.empty((1, self._tokens), np.float32), 0
        fed = list(ids)
        for _ in range(most):
            total += len(fed)
            self._run(fed, total, buffers, logits)
            fed = [int(logits.argmax())]
            yield fed[0]

    def _run(
        self,
        ids: Sequence[int],
        total: int,
        buffers: dict[str, npt.NDArray[np.float32]],
        logits: npt.NDArray[np.float32],
    ) -> None:
        """Run `ids` into the buffers, which hold `total` positions then; write the last one's logits [1, tokens]."""
        binding = self._session.io_binding()
        binding.bind_cpu_input("ids", np.array([ids], np.int64))
        binding.bind_cpu_input("total", np.array(total, np.int32))
        for name, one in buffers.items():
            binding.bind_input(name, "cpu", 0, one.dtype, one.shape, one.ctypes.data)
            binding.bind_output(
                f"present_{name.removeprefix('past_')}", "cpu", 0, one.dtype, one.shape, one.ctypes.data
            )
        binding.bind_output("logits", "cpu", 0, logits.dtype, logits.shape, logits.ctypes.data)
        self._session.run_with_iobinding(binding)
