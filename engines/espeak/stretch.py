"""Speech made quicker or slower by sonic, which libespeak-ng carries. Knows nothing of what is spoken.

Functions as in its public header `sonic.h` (version 2). Samples are signed 16 bit, in the byte order of the machine.
"""

from __future__ import annotations

import ctypes
from typing import Any

from engines.errors import EngineFault

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
#: name, result and arguments of each function that is called
SONIC: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
    ("sonicCreateStream", _POINTER, (_INT, _INT)),
    ("sonicDestroyStream", None, (_POINTER,)),
    ("sonicSetSpeed", None, (_POINTER, ctypes.c_float)),
    ("sonicWriteShortToStream", _INT, (_POINTER, _POINTER, _INT)),
    ("sonicFlushStream", _INT, (_POINTER,)),
    ("sonicSamplesAvailable", _INT, (_POINTER,)),
    ("sonicReadShortFromStream", _INT, (_POINTER, _POINTER, _INT)),
)


class Stretch:
    """Changes the speed of speech and keeps its pitch, by the sonic algorithm that libespeak-ng carries.

    For speeds beyond what the synthesiser itself does. `factor` 2.0 makes twice as fast.
    """

    def __init__(self, lib: ctypes.CDLL, sample_rate: int, factor: float) -> None:
        self._lib = lib
        self._stream = lib.sonicCreateStream(sample_rate, 1)
        if not self._stream:
            raise EngineFault("espeak-ng had no memory to change the speed")
        lib.sonicSetSpeed(self._stream, factor)

    def process(self, pcm: bytes) -> bytes:
        """The samples that are ready once `pcm` was taken; may be empty."""
        if pcm and not self._lib.sonicWriteShortToStream(self._stream, pcm, len(pcm) // 2):
            raise EngineFault("espeak-ng had no memory to change the speed")
        return self._read()

    def finish(self) -> bytes:
        """The rest."""
        if not self._lib.sonicFlushStream(self._stream):
            raise EngineFault("espeak-ng had no memory to change the speed")
        return self._read()

    def close(self) -> None:
        if self._stream:
            self._lib.sonicDestroyStream(self._stream)
            self._stream = None

    def _read(self) -> bytes:
        ready: int = self._lib.sonicSamplesAvailable(self._stream)
        buffer = ctypes.create_string_buffer(max(ready, 1) * 2)
        count: int = self._lib.sonicReadShortFromStream(self._stream, buffer, ready) if ready > 0 else 0
        return buffer.raw[: count * 2]
