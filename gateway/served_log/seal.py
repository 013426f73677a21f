"""Hides a text's hash from whoever has the log and not the installation's secret, which can take it out again.

A hash of a short text is as good as the text to one who tries all that it may be: a million hashes are all codes of
six digits. But decisions are drawn from that hash (`share: {by: text}`, `order: spread`), so it cannot be left out. So
it is permuted under a secret: equal texts stay equal, everything else is hidden. Knows nothing about logs or files.
"""

from __future__ import annotations

import functools
from hashlib import blake2b

#: a Feistel network of four rounds with pseudo-random functions is a strong pseudo-random permutation
#: (Luby and Rackoff 1988)
ROUNDS = 4
SECRET_BYTES = 32
_HALF = 1 << 32


class Seal:
    """One secret. `name` tells which one, and nothing of it."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.name = blake2b(b"name", key=secret, digest_size=3).hexdigest()
        self.close = functools.lru_cache(1024)(self._close)  # prompts come again and again

    def _close(self, number: int) -> str:
        """64 bits, hidden: `NAME-0123456789abcdef`."""
        left, right = divmod(number, _HALF)
        for turn in range(ROUNDS):
            left, right = right, left ^ self._mix(turn, right)
        return f"{self.name}-{left * _HALF + right:016x}"

    def open(self, sealed: str) -> int | None:
        """What `close` was given; None for what another secret has closed."""
        if sealed.partition("-")[0] != self.name:
            return None
        left, right = divmod(hidden(sealed), _HALF)
        for turn in reversed(range(ROUNDS)):
            left, right = right ^ self._mix(turn, left), left
        return left * _HALF + right

    def digest(self, data: bytes) -> str:
        """64 bits that tell equal data and nothing else, for good."""
        return blake2b(data, key=self._secret, digest_size=8).hexdigest()

    def _mix(self, turn: int, half: int) -> int:
        data = bytes((turn,)) + half.to_bytes(4, "big")
        return int.from_bytes(blake2b(data, key=self._secret, digest_size=4).digest(), "big")


def hidden(sealed: str) -> int:
    """The 64 bits as they are in the log: as evenly spread as the hash itself, equal for equal texts. Raises ValueError
    for what no `close` has made."""
    return int(sealed.rpartition("-")[2], 16)
