"""Whole samples out of pieces of bytes: a network cuts where it likes. Knows no protocol and no container."""

from __future__ import annotations

from engines.errors import EngineFault

#: signed 16 bit, mono
SAMPLE_BYTES = 2
#: rates (Hz) that speech has: another one is a mistake, and to make ours of one of a few Hz would take all memory
LOWEST_HZ, HIGHEST_HZ = 8000, 192_000


def require_rate(rate_hz: int) -> int:
    """The rate that a server tells. Raises EngineFault where no speech has it."""
    if not LOWEST_HZ <= rate_hz <= HIGHEST_HZ:
        raise EngineFault(f"the server tells a sample rate of {rate_hz} Hz, which no speech has")
    return rate_hz


class WholeSamples:
    """Holds half a sample back until its other half comes."""

    def __init__(self) -> None:
        self._half = b""

    def take(self, piece: bytes) -> bytes:
        """As many whole samples as there are by now; may be empty."""
        if self._half:
            piece = self._half + piece
        if len(piece) % SAMPLE_BYTES:
            piece, self._half = piece[:-1], piece[-1:]
        else:
            self._half = b""
        return piece

    def end(self) -> None:
        """Nothing more comes. Raises EngineFault where that is inside a sample: what came is not all."""
        if self._half:
            raise EngineFault("the server's audio ends inside a sample: it was cut short")
