"""Imagines the player at the end of a stream, to tell whether it ever had nothing to play.

It starts when the first audio is released and plays in real time. Its time stands still while the client does not take
what is ready: a client that does not read has enough. Knows nothing about formats, engines or HTTP.
"""

from __future__ import annotations

from gateway.record import Served

#: seconds; a shorter gap hides in the output buffer of any player
INAUDIBLE_S = 0.02


class Player:
    """One listener, who writes `underruns` and `underrun_s` of the record. Times are seconds since the request came."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._audio_s = 0.0
        self._ends_s: float | None = None  # when everything that was released will have been played
        self._given_s = 0.0

    def hear(self, now_s: float) -> None:
        """The client is given what is encoded of the audio released so far."""
        more_s, self._audio_s, self._given_s = self._served.audio_s - self._audio_s, self._served.audio_s, now_s
        if more_s <= 0:
            return
        if self._ends_s is None:
            self._ends_s = now_s
        gap_s = now_s - self._ends_s
        if gap_s > INAUDIBLE_S:
            self._served.underruns += 1
            self._served.underrun_s += gap_s
        self._ends_s = max(self._ends_s, now_s) + more_s

    def ask(self, now_s: float) -> None:
        """The client has taken it, and asks for more."""
        if self._ends_s is not None:
            self._ends_s += now_s - self._given_s
