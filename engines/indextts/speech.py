"""One request on its way through the model: its segments, how far each is decoded, and which piece is to be heard next.

A segment is what the decoder says in one go. Its audio is made in pieces, in order; where a piece ends depends on
numbers of codes alone, never on time, so that equal requests sound equal whatever else is spoken beside them.
Knows nothing about networks, threads or who is served first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from collections.abc import Sequence as Row
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engines.contract import AudioChunk, SpeechRequest
from engines.indextts.decoding import Sequence
from engines.indextts.outlet import Outlet
from engines.indextts.voice import VoiceBundle
from engines.indextts.voicing import Piece, Voicing

#: all pieces before and a piece itself are so many times as long as all before it. The voice's own mel goes through the
#: solver with each, so that few long ones cost less than many short ones: up to 12 seconds are made in two. Where audio
#: takes longer to make than to hear, whoever began to listen at the first piece waits less altogether for it, though
#: all of it at once
GROWTH = 10
#: of the first piece, the part that must be decoded beyond the end of a piece before that is made: what the last one
#: has at least, and what each hears of its neighbours
MARGIN = 0.25
#: codes of which `MARGIN` is a part where there is no quick first piece
WHOLE_CODES = 40
#: of a further piece, the part that must be decoded beyond its end, or the piece is the last one: a short rest would
#: send the voice's mel through the solver once more for little audio
REST = 0.5


@dataclass(slots=True, eq=False)
class Segment:
    """A part of the text, said in one go."""

    number: int
    conditioning: NDArray[np.float32]  # [rows, D], the voice's rows: one array for all segments of a speech
    ids: Row[int]  # of its text
    seed: int
    max_codes: int
    first_codes: int  # codes of the first piece; 0: it is made whole
    most_codes: int = sys.maxsize  # of any piece
    sequence: Sequence | None = None  # in the decoder, or decoded
    decoded: bool = False
    voicing: Voicing | None = None  # what the audio of one piece hands on to the next
    voiced: int = 0  # codes whose audio was made, or is
    again: bool = False  # what it stands for was decoded before, and found no end

    def next_piece(self) -> Piece | None:
        """What can be made now; None while too little is decoded."""
        if self.sequence is None:
            return None
        known = len(self.sequence.codes)
        margin = max(1, int(min(self.first_codes or WHOLE_CODES, self.most_codes) * MARGIN))
        grown = (self.voiced * (GROWTH - 1) or self.first_codes) if self.first_codes else self.most_codes
        border = self.voiced + min(grown, self.most_codes)
        first = self.voiced == 0 and self.first_codes > 0
        beyond = margin if first else max(margin, int(min(border, self.most_codes) * REST))
        if known >= border + beyond:
            return Piece(self.voiced, border, margin, last=False)
        return Piece(self.voiced, known, margin, last=True) if self.decoded else None

    @property
    def said(self) -> bool:
        """Has it been decoded to an end that the model gave it, with something in it."""
        return self.sequence is not None and self.sequence.stopped and bool(self.sequence.codes)

    def put_away(self) -> None:
        """It was spoken: free what it holds, tens of megabytes of keys and values among it."""
        self.sequence = self.voicing = None


@dataclass(slots=True, eq=False)
class Speech:
    """One request. `segments` and `voice` are there once it was prepared."""

    request: SpeechRequest
    outlet: Outlet
    seed: int
    max_codes: int  # of each segment
    keeps_unfinished: bool = False  # speak what has no end within these
    voice: VoiceBundle | None = None
    segments: list[Segment] = field(default_factory=list)
    preparing: Iterator[None] | None = None  # a slice of work at a time
    asked: int = 0  # turns that its preparation has had
    begun: int = 0  # segments that were given to the decoder
    speaking: int = 0  # number of the segment whose audio is made
    piece: Piece | None = None  # in hand
    audio: Iterator[AudioChunk | None] | None = None  # of it, a slice of work at a time
    heard: bool = False
    served: int = 0  # when its audio was last worked on, as the schedule counts

    @property
    def prepared(self) -> bool:
        return self.voice is not None

    @property
    def segment(self) -> Segment | None:
        """The one whose audio comes next; None: all is said, or nothing prepared."""
        return self.segments[self.speaking] if self.speaking < len(self.segments) else None

    @property
    def waits_for_codes(self) -> bool:
        """Its listener has heard nothing yet, and only the decoder can change that."""
        return not self.heard and self.audio is None and self.segment is not None and self.segment.next_piece() is None

    def replace(self, segment: Segment, parts: Row[Segment]) -> list[Sequence]:
        """Let these be begun in a segment's place, and once more what was begun behind it: segments begin in order.

        Gives what the decoder has to forget.
        """
        place = self.segments.index(segment)
        behind = self.segments[place + 1 : self.begun]
        forgotten = [one.sequence for one in behind if one.sequence is not None and not one.decoded]
        for one in behind:
            one.sequence, one.decoded = None, False
        self.segments[place : place + 1] = parts
        for number, one in enumerate(self.segments):
            one.number = number
        self.begun = place
        return forgotten

    def running(self) -> Iterator[Sequence]:
        """What of it is in the decoder's batch."""
        for segment in self.segments[self.speaking : self.begun]:
            if segment.sequence is not None and not segment.decoded:
                yield segment.sequence
