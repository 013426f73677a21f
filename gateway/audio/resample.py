"""Changes the sample rate of a stream of PCM. Knows nothing about formats or engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Resampler:
    """s16le mono at `source_hz` in, at `target_hz` out; samples out = samples in x target / source, to within one.

    soxr's high-quality recipe (20 bits) on float32, so that peaks are clipped, never wrapped around, and the result
    does not depend on how the PCM is cut. It works in blocks: the first samples come once some 45 ms have gone in
    (from 22.05 or 24 kHz; more at lower rates), and `finish` gives the rest. Equal rates: the bytes as they are, and
    nothing is imported.
    """

    def __init__(self, source_hz: int, target_hz: int) -> None:
        self.source_hz = source_hz
        self.target_hz = target_hz
        self._odd = b""  # half a sample, when a piece was cut inside one
        self._stream = None
        if source_hz != target_hz:
            import soxr

            self._stream = soxr.ResampleStream(source_hz, target_hz, 1, dtype="float32", quality="HQ")

    def process(self, pcm: bytes) -> bytes:
        """What can be said of the target's samples so far."""
        if self._stream is None:
            return pcm
        whole = self._odd + pcm
        cut = len(whole) & ~1
        self._odd = whole[cut:]
        return self._resample(whole[:cut], last=False)

    def finish(self) -> bytes:
        """The samples still inside. Nothing may be processed afterwards."""
        return b"" if self._stream is None else self._resample(b"", last=True)

    def _resample(self, pcm: bytes, *, last: bool) -> bytes:
        import numpy as np

        assert self._stream is not None
        samples: NDArray[np.float32] = np.frombuffer(pcm, dtype="<i2").astype(np.float32)
        out: NDArray[np.float32] = self._stream.resample_chunk(samples, last=last)
        return np.rint(out).clip(-32768, 32767).astype("<i2").tobytes()
