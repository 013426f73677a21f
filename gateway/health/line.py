"""Who is before a newcomer at one engine, and for how long: work in numbers, as `engines.slots` has turns in order.

A speech comes clause by clause. It gives its slot back after each one, and goes before newcomers for the next, so that
about one speech more than there are slots is under way at a time, and newcomers get in as speeches end. What counts is
therefore the rest of whole speeches, not the clauses that happen to be in a slot.

Work is seconds of audio, as estimated from the text, times the pace: the seconds that a slot is held for one of these.
That is learnt from clauses that ended well, so that it has in it what a real-time factor leaves out: how far the
estimate is off for this engine's voices, and the wait behind other gateways that share the engine.

Knows nothing about engines, texts or turns, and no clock: whoever asks says what time it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heapreplace

#: of what was learnt before, the part that stays when one clause more is known
MEMORY = 0.8
#: a speech that stays away between two clauses for so long (seconds) waits for its listener, and is in nobody's way
AWAY_AFTER_S = 1.0
#: nobody is told to come back later than this (seconds): many will not come back, and one who hammers counts each time
LATEST_RETURN_S = 60.0


@dataclass(slots=True, eq=False)
class Visit:
    """One speech at one engine. Seconds of audio, as estimated: of the clause in hand, and of those after it."""

    clause_s: float = 0.0
    later_s: float = 0.0
    begun: bool = False  # somebody hears this speech already: it goes before those who have not begun
    queues: bool = True  # False: it takes a free slot or none
    alone: bool = False  # no other engine could speak this clause
    since_s: float = 0.0  # when it came to where it is now
    given_s: float = 0.0  # audio that the engine has given of the clause in hand
    process: int | None = None  # of the engine, if it has one of its own, when the clause in hand was begun


class Line:
    """The visits of one engine, by where they are. `changes` grows with each move."""

    def __init__(self) -> None:
        self.changes = 0
        self._waiting: dict[Visit, None] = {}  # in order
        self._speaking: dict[Visit, None] = {}
        self._between: dict[Visit, None] = {}  # two clauses
        self._held_s, self._audio_s = 0.0, 0.0  # recent ones, older ones counting less
        self._speech_s = 0.0  # audio of a whole speech, on average
        self._promised_s = -math.inf  # until when those come back who were turned away

    # --- where a visit goes ---

    def wait(self, visit: Visit, now_s: float) -> None:
        if not visit.begun:
            whole_s = visit.clause_s + visit.later_s
            self._speech_s = MEMORY * self._speech_s + (1 - MEMORY) * whole_s if self._speech_s else whole_s
        self._move(visit, self._waiting, now_s)

    def speak(self, visit: Visit, now_s: float) -> None:
        visit.given_s = 0.0
        self._move(visit, self._speaking, now_s)

    def spoke(self, visit: Visit, now_s: float) -> None:
        """The clause in hand ended well: a measurement."""
        if visit.clause_s:
            self._held_s = MEMORY * self._held_s + now_s - visit.since_s
            self._audio_s = MEMORY * self._audio_s + visit.clause_s
        if visit.later_s:
            self._move(visit, self._between, now_s)
        else:
            self.leave(visit)

    def leave(self, visit: Visit) -> None:
        """It comes no more. Idempotent."""
        self.changes += 1
        for place in (self._waiting, self._speaking, self._between):
            place.pop(visit, None)

    def _move(self, visit: Visit, place: dict[Visit, None], now_s: float) -> None:
        self.leave(visit)
        place[visit] = None
        visit.since_s = now_s

    # --- what follows for a newcomer ---

    def pace(self, now_s: float) -> float | None:
        """Seconds that a slot is held for a second of audio, as estimated; None while nothing is known.

        Before the first clause has ended, those in hand tell: what was given so far, or at least how long it takes.
        """
        if self._audio_s:
            return self._held_s / self._audio_s
        begun = [one for one in self._speaking if one.clause_s]
        return max(((now_s - one.since_s) / (one.given_s or one.clause_s) for one in begun), default=None)

    def wait_s(self, slots: int, now_s: float) -> float | None:
        """Seconds until a newcomer, last in line, has its turn; None while the pace is not known."""
        return self._turn_s((one for one in self._waiting if not one.begun), slots, now_s)

    def next_turn_s(self, slots: int, now_s: float) -> float | None:
        """Seconds until the first in line has its turn, and leaves a place there."""
        return self._turn_s((), slots, now_s)

    def _turn_s(self, before: Iterable[Visit], slots: int, now_s: float) -> float | None:
        """Seconds until it is the turn of one who comes after all that are under way, and after `before`."""
        pace, before = self.pace(now_s), list(before)
        if pace is None:
            return None
        returning = [one for one in self._waiting if one.begun]
        away = [one for one in self._between if now_s - one.since_s < AWAY_AFTER_S]
        clauses = [_rest_s(pace * one.clause_s, now_s - one.since_s) for one in self._speaking]
        rests = [clause + pace * one.later_s for clause, one in zip(clauses, self._speaking, strict=True)]
        rests += [pace * (one.clause_s + one.later_s) for one in returning]
        rests += [pace * one.later_s for one in away]
        places, late_s = slots, 0.0
        if returning or away or any(one.later_s for one in (*self._speaking, *before)):
            # Speeches come back for another clause: one more is under way than there are slots, and each is slower for
            # it. When one ends, its slot goes to one that comes back; a newcomer has the next, half a clause later.
            places = slots + 1
            late_s = pace * max((one.clause_s for one in (*self._speaking, *returning, *away)), default=0.0) / slots / 2
        slower = places / slots
        ends = [rest * slower for rest in rests[:places]]
        if len(ends) < places:
            ends.append(min(clauses) if len(clauses) >= slots else 0.0)
        elif returning or away:
            ends = [end + late_s for end in ends]
        heapify(ends)
        for rest in rests[places:]:
            heapreplace(ends, ends[0] + rest * slower)
        for one in before:
            heapreplace(ends, ends[0] + late_s + pace * (one.clause_s + one.later_s) * slower)
        return ends[0]

    def come_back_in(self, room_s: float, slots: int, now_s: float) -> float:
        """Seconds after which one who is turned away now should come again, when there is room in `room_s`.

        Whoever was turned away before comes again too, and before: each is told a later time, as if they all did.
        """
        when_s = max(now_s + room_s, self._promised_s)
        speech_s = (self.pace(now_s) or 0.0) * self._speech_s
        self._promised_s = min(when_s + speech_s / slots, now_s + LATEST_RETURN_S)
        return when_s - now_s


def _rest_s(expected_s: float, elapsed_s: float) -> float:
    """Of work that takes `expected_s`. What is overdue is taken to need as long again as it is overdue."""
    return abs(expected_s - elapsed_s)
