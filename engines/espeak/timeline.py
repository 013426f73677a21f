"""Turns espeak-ng's word events into marks with a start and an end. Pure; knows nothing about chunks."""

from __future__ import annotations

from engines.contract import Mark
from engines.espeak.binding import Word


class Timeline:
    """Words of one stream. `seconds_per_sample` counts the library's samples, a later change of speed included."""

    def __init__(self, text: str, seconds_per_sample: float) -> None:
        self._text = text
        self._seconds_per_sample = seconds_per_sample
        self._open: tuple[str, float] | None = None  # the word being spoken and its start
        self._now_s = 0.0

    def advance(self, events: list[Word]) -> list[Mark]:
        """The words that end at these events. A word ends where the next word begins or its clause ends."""
        ended: list[Mark] = []
        for event in events:
            spoken = self._text[event.position : event.position + event.length].strip()
            if event.length and not spoken:
                continue  # the second half of an emoji and the like
            ended += self.finish(event.sample)
            if spoken:
                self._open = (spoken, self._now_s)
        return ended

    def finish(self, sample: int) -> list[Mark]:
        """The word still open, if any, ends at `sample`. Times never run backwards."""
        self._now_s = max(self._now_s, sample * self._seconds_per_sample)
        if self._open is None:
            return []
        (text, start_s), self._open = self._open, None
        return [Mark("word", text, start_s, self._now_s)]
