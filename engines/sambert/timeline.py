"""Audio as it comes, with each word marked on the audio in which it has been said.

The service tells times of words before, between or behind the frames that they belong to, and a mark can only go out
with audio: so the last few milliseconds are held back until the end. Knows nothing about frames or events.
"""

from __future__ import annotations

from collections import deque

from engines.contract import AudioChunk, Mark

#: of the latest audio that is held back for marks that may come yet
_HELD_MS = 20


class Timeline:
    """Of one stream of whole samples of 16 bit: mono, so two bytes each."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._held = b""
        self._held_bytes = 2 * (sample_rate * _HELD_MS // 1000)
        self._given_bytes = 0
        self._marks: deque[Mark] = deque()
        self._last_start_s = 0.0

    @property
    def seconds(self) -> float:
        """Of audio that came so far."""
        return self._seconds(self._given_bytes + len(self._held))

    def mark(self, text: str, start_s: float, end_s: float) -> None:
        """A word is said then. Words come in the order in which they begin; one that does not is moved up."""
        self._last_start_s = max(start_s, self._last_start_s)
        self._marks.append(Mark("word", text, self._last_start_s, max(end_s, self._last_start_s)))

    def hear(self, pcm: bytes) -> AudioChunk | None:
        """More audio; what of it goes out now."""
        heard = self._held + pcm
        cut = max(0, len(heard) - self._held_bytes)
        self._held = heard[cut:]
        return self._give(heard[:cut]) if cut else None

    def end(self) -> AudioChunk | None:
        """The rest, with all marks that are left: none goes beyond the audio."""
        rest, self._held = self._held, b""
        if not rest:
            return None
        end_s = self._seconds(self._given_bytes + len(rest))
        self._marks = deque(
            Mark("word", one.text, min(one.start_s, end_s), min(one.end_s, end_s)) for one in self._marks
        )
        return self._give(rest)

    def _give(self, pcm: bytes) -> AudioChunk:
        self._given_bytes += len(pcm)
        until_s, said = self._seconds(self._given_bytes), []
        while self._marks and self._marks[0].end_s <= until_s:
            said.append(self._marks.popleft())
        return AudioChunk(pcm, self._rate, tuple(said))

    def _seconds(self, length_bytes: int) -> float:
        return length_bytes / 2 / self._rate
