"""A voice's graph: ids in, samples out, always equally loud.

Inputs and outputs as Piper exports them: `input` int64 [1, N], `input_lengths` int64 [1], `scales` float32 [3] (noise,
length, unevenness of lengths), `sid` int64 [1] where there are several speakers; the first output holds samples,
-1 to 1. Knows nothing about texts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engines.errors import EngineFault, Unsupported
from engines.piper.description import Scales
from models.session import SessionError, open_session

if TYPE_CHECKING:
    import onnxruntime

#: at both ends of a sentence, so that a seam does not click
_FADE_MS = 4
#: what is quieter by so much than the loudest 20 ms is a pause, and not measured
_PAUSE_DB = 30
_FRAME_MS = 20
#: of the measured sentence; others go some decibels above it before they are cut off
_HIGHEST_PEAK = 0.6
_LARGEST_GAIN = 20.0

Samples = npt.NDArray[np.float32]


class Stop:
    """Breaks off what runs with it, at the graph's next node."""

    def __init__(self) -> None:
        import onnxruntime

        self.settings: onnxruntime.RunOptions = onnxruntime.RunOptions()

    def __call__(self) -> None:
        self.settings.terminate = True


class Network:
    """A loaded voice. `speak` may run in several threads at once. Raises Unsupported when the graph is none of Piper's.

    The loudness is measured once for each speaker, on a sentence of the engine's choice, and not by what is spoken: so
    one sentence is not louder than the next, as it would be if each were brought to the same peak.
    """

    def __init__(self, path: Path, sample_rate: int, threads: int | None, loudness_dbfs: float) -> None:
        try:
            self._session = open_session(path, threads)
        except SessionError as error:
            raise Unsupported(f"the voice {path.stem} cannot be loaded: {error}") from error
        self._inputs = {one.name for one in self._session.get_inputs()}
        if not {"input", "input_lengths", "scales"} <= self._inputs <= {"input", "input_lengths", "scales", "sid"}:
            raise Unsupported(f"the voice {path.stem} is none for Piper: its graph takes {', '.join(self._inputs)}")
        self._output = self._session.get_outputs()[0].name
        self._name = path.stem
        self._sample_rate = sample_rate
        self._rms = 10.0 ** (loudness_dbfs / 20)
        self._gains: dict[int, float] = {}

    def measured(self, speaker: int) -> bool:
        return speaker in self._gains

    def measure(self, ids: tuple[int, ...], speaker: int, scales: Scales) -> None:
        """Take the speaker's gain from what these ids sound like without noise."""
        samples = self._run(ids, speaker, Scales(0.0, scales.length, 0.0), Stop())
        self._gains[speaker] = gain_for(samples, self._sample_rate, self._rms)

    def speak(self, ids: tuple[int, ...], speaker: int, scales: Scales, stop: Stop) -> bytes:
        """PCM, s16. Raises EngineFault."""
        samples = self._run(ids, speaker, scales, stop) * np.float32(self._gains.get(speaker, 1.0))
        count = min(len(samples) // 2, self._sample_rate * _FADE_MS // 1000)
        ramp = np.linspace(0, 1, count, endpoint=False, dtype=np.float32)
        samples[:count] *= ramp
        samples[len(samples) - count :] *= ramp[::-1]
        pcm: bytes = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
        return pcm

    def _run(self, ids: tuple[int, ...], speaker: int, scales: Scales, stop: Stop) -> Samples:
        feeds = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([scales.noise, scales.length, scales.noise_w], np.float32),
        }
        if "sid" in self._inputs:
            feeds["sid"] = np.array([speaker], np.int64)
        try:
            (output,) = self._session.run([self._output], feeds, stop.settings)
        except Exception as error:  # its errors have no base of their own but Exception
            raise EngineFault(f"the voice {self._name} failed: {type(error).__name__}: {error}") from error
        samples = np.asarray(output, np.float32).reshape(-1)
        if not len(samples) or not np.isfinite(samples).all():
            raise EngineFault(f"the voice {self._name} gave {'no sound' if not len(samples) else 'no numbers'}")
        return samples


def gain_for(samples: Samples, sample_rate: int, rms: float) -> float:
    """What brings the speech in `samples` to the root mean square `rms`, pauses left out, with a bounded peak."""
    frame = sample_rate * _FRAME_MS // 1000
    whole = samples[: len(samples) // frame * frame].reshape(-1, frame)
    power = np.square(whole, dtype=np.float64).mean(axis=1) if len(whole) else np.zeros(1)
    spoken = power[power > power.max() * 10 ** (-_PAUSE_DB / 10)]
    if not len(spoken):
        return 1.0
    peak = float(np.abs(samples).max())
    return float(min(rms / np.sqrt(spoken.mean()), _HIGHEST_PEAK / peak, _LARGEST_GAIN))
