"""The model itself: phonemes' numbers, a style and a speed in, a wave out. Two dialects of inputs, told by the graph.

Exports differ in names (`tokens` or `input_ids`) and in the type of `speed`; both are read from the session. Knows
nothing about texts or voices.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.session import SessionError, open_session

Wave = npt.NDArray[np.float32]  # [samples], -1 to 1

_TOKENS = ("tokens", "input_ids")
_AUDIO = ("audio", "waveform")
_SPEEDS: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}
_PROVIDERS = {"cpu": ("CPUExecutionProvider",), "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider")}


class Stop:
    """Ends a computation that is under way, from another thread; what has not begun does not begin."""

    def __init__(self) -> None:
        import onnxruntime

        self._lock = threading.Lock()
        self._running: set[onnxruntime.RunOptions] = set()
        self.told = False

    def run(self, session: object, feeds: dict[str, npt.NDArray[np.generic]], output: str) -> Wave | None:
        """What the session gives; None when it was stopped."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        with self._lock:
            if self.told:
                return None
            self._running.add(options)
        try:
            (wave,) = session.run([output], feeds, options)  # type: ignore[attr-defined]
        except Exception:
            if self.told:
                return None
            raise
        finally:
            with self._lock:
                self._running.discard(options)
        return np.asarray(wave, np.float32).reshape(-1)

    def now(self) -> None:
        with self._lock:
            self.told = True
            for options in self._running:
                options.terminate = True


class Network:
    """A graph that was opened. May compute for several threads at once."""

    def __init__(self, path: Path, threads: int | None, provider: str) -> None:
        """Raises SessionError: it cannot be loaded, or is no Kokoro."""
        self._session = open_session(path, threads, _PROVIDERS[provider])
        inputs = {one.name: one for one in self._session.get_inputs()}
        self._tokens = next((name for name in _TOKENS if name in inputs), "")
        outputs = [one.name for one in self._session.get_outputs()]
        if not self._tokens or set(inputs) != {self._tokens, "style", "speed"} or not outputs:
            raise SessionError(
                f"{path} takes {', '.join(inputs)}: a Kokoro model takes tokens or input_ids, style and speed"
            )
        if inputs[self._tokens].type != "tensor(int64)" or inputs["style"].type != "tensor(float)":
            raise SessionError(f"{path}: its {self._tokens} or style are of a type that no Kokoro model has")
        if inputs["speed"].type not in _SPEEDS:
            raise SessionError(f"{path}: its speed is a {inputs['speed'].type}, which no Kokoro model has")
        self._speed = _SPEEDS[inputs["speed"].type]
        self._speed_rank = len(inputs["speed"].shape)
        self._output = next((name for name in _AUDIO if name in outputs), outputs[0])
        width = inputs["style"].shape[-1] if inputs["style"].shape else None
        #: numbers of a style; None: the graph does not say
        self.style_width = width if isinstance(width, int) else None

    @property
    def whole_speeds(self) -> bool:
        """Does this export take 1 or 2, and nothing between."""
        return np.issubdtype(self._speed, np.integer)

    def speak(self, ids: Sequence[int], style: npt.NDArray[np.float32], speed: float, stop: Stop) -> Wave | None:
        """The wave; None when it was stopped. `ids` have no padding yet: a 0 stands at both ends."""
        feeds: dict[str, npt.NDArray[np.generic]] = {
            self._tokens: np.array([[0, *ids, 0]], np.int64),
            "style": style,
            "speed": np.full((1,) * self._speed_rank, speed, self._speed),
        }
        return stop.run(self._session, feeds, self._output)
