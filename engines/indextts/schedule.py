"""Whose work comes next: one batch of decoding for all requests, and the audio of each, in slices of a fraction of a
second.

    prepare   newcomers first, a tenth of a second each; what takes longer, the half of the time
    begin     segments enter the batch while it has room: first ones before others, which leave a row free for newcomers
    voice     audio of who has heard nothing yet, then of who came first; every fourth slice goes to who waited longest
    decode    one code for every segment in the batch: when no audio can be made, and in half of the time while somebody
              waits for his first codes

What is made ahead of a listener is bounded: his next audio waits then, and with it his further segments. For one
thread; knows nothing about threads, texts or networks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from engines.contract import AudioChunk
from engines.errors import EngineFault, SpeechError, Unsupported
from engines.indextts.decoding import Sequence
from engines.indextts.speech import Segment, Speech
from engines.indextts.voicing import Piece

#: of the slices of audio work, each so-and-so-many-th goes to who waited longest
PATIENCE = 4
#: seconds after which preparing a text stops for other work: most texts take less
PREPARE_S = 0.1
#: decoded segments of a speech that may wait to be spoken before more are begun: each holds its keys and values
WAITING = 4


class Model(Protocol):
    """What does the work; every call takes a fraction of a second."""

    @property
    def room(self) -> int:
        """Segments that may be begun beside those that are decoded."""

    def prepare(self, speech: Speech) -> Iterator[None]:
        """Find its voice and cut its text into segments, in slices. Raises SpeechError."""

    def begin(self, segment: Segment) -> None:
        """Let a segment be decoded with the others."""

    def decode(self) -> Iterable[Sequence]:
        """One code for each that is decoded; returns those that have ended with it."""

    def drop(self, sequence: Sequence) -> None:
        """Forget one that is decoded."""

    def parts(self, segment: Segment) -> list[Segment]:
        """What to begin instead of a segment that was decoded in vain: shorter ones if that can be."""

    def voice(self, speech: Speech, segment: Segment, piece: Piece) -> Iterator[AudioChunk | None]:
        """The audio of a piece, the next one of its segment; None after each slice of work that gave none."""


class Schedule:
    """schedule.add(speech)
    while schedule.turn(): ...
    """

    def __init__(self, model: Model, ahead_s: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._model, self._ahead_s, self._clock = model, ahead_s, clock
        self._speeches: list[Speech] = []  # in the order in which they came
        self._slices = 0
        self._others_until_s = 0.0  # by the clock: as long as the last newcomer was served, others are
        self._owed_s = 0.0  # that decoding may take before audio is worked on again; negative: the other way round

    def add(self, speech: Speech) -> None:
        self._speeches.append(speech)

    def turn(self) -> bool:
        """Do one slice of work; False when there is none until somebody comes, or takes what was made."""
        for speech in [one for one in self._speeches if one.outlet.closed]:
            self._leave(speech)
        newcomer = min((one for one in self._speeches if not one.prepared), key=lambda one: one.asked, default=None)
        if newcomer and not (newcomer.asked and self._clock() < self._others_until_s):
            self._prepare(newcomer)
            return True
        if begin := self._next_segment():
            self._begin(*begin)
            return True
        speaking = self._next_audio()
        decoding = self._decoding
        urgent = decoding and any(one.waits_for_codes for one in self._speeches)
        if speaking and not (urgent and self._owed_s > 0):
            with self._timed(+1 if urgent else 0):
                self._voice(speaking)
        elif decoding:
            with self._timed(-1 if speaking else 0):
                self._decode()
        elif newcomer:
            self._prepare(newcomer)
        return bool(speaking or decoding or newcomer)

    def end(self, error: SpeechError) -> None:
        """Break everything off."""
        for speech in self._speeches:  # all of them, before anything can fail
            speech.outlet.end(error)
        while self._speeches:
            self._leave(self._speeches[0])

    # choosing

    def _next_segment(self) -> tuple[Speech, Segment] | None:
        """The segment to begin, if there is room for it."""
        fewest = min((one for one in self._speeches if self._may_begin(one)), key=lambda one: one.begun, default=None)
        if fewest is None or self._model.room <= (1 if fewest.begun and self._decoding else 0):
            return None
        return fewest, fewest.segments[fewest.begun]

    @property
    def _decoding(self) -> bool:
        return any(True for speech in self._speeches for _ in speech.running())

    def _may_begin(self, speech: Speech) -> bool:
        waiting = sum(one.decoded for one in speech.segments[speech.speaking : speech.begun])
        if speech.begun == len(speech.segments) or waiting >= WAITING:
            return False
        return not speech.begun or speech.outlet.ahead_s < self._ahead_s

    def _next_audio(self) -> Speech | None:
        """The speech of which audio can be made, and is wanted, now."""
        able = [one for one in self._speeches if self._can_speak(one)]
        if not able:
            return None
        if (self._slices + 1) % PATIENCE == 0:
            return min(able, key=lambda one: one.served)
        return next((one for one in able if not one.heard), able[0])

    def _can_speak(self, speech: Speech) -> bool:
        if speech.audio is not None:
            return True
        if speech.segment is None or speech.outlet.ahead_s >= self._ahead_s:
            return False
        return speech.segment.next_piece() is not None

    # working

    def _prepare(self, speech: Speech) -> None:
        speech.asked += 1
        since_s = self._clock()
        with self._blaming(speech):
            if speech.preparing is None:
                speech.preparing = self._model.prepare(speech)
            for _ in speech.preparing:
                now_s = self._clock()
                if now_s - since_s >= PREPARE_S:
                    self._others_until_s = now_s + (now_s - since_s)
                    return
            speech.preparing = None
            if speech.segment is None:
                raise EngineFault("the text was cut into no segments")

    def _begin(self, speech: Speech, segment: Segment) -> None:
        with self._blaming(speech):
            self._model.begin(segment)
            speech.begun += 1

    def _decode(self) -> None:
        try:
            ended = self._model.decode()
        except Exception as error:  # whose fault it is cannot be told
            for speech in [one for one in self._speeches if any(one.running())]:
                self._fail(speech, _fault(error))
            return
        for speech in list(self._speeches):
            with self._blaming(speech):
                self._note_ends(speech, ended)

    def _note_ends(self, speech: Speech, ended: Iterable[Sequence]) -> None:
        for segment in speech.segments[: speech.begun]:
            if any(segment.sequence is one for one in ended):
                segment.decoded = True
                if not (segment.said or speech.keeps_unfinished):
                    self._begin_again(speech, segment)

    def _begin_again(self, speech: Speech, segment: Segment) -> None:
        """What the model has not ended is decoded anew, once, and unless somebody has heard of it. Raises EngineFault:
        a speech that lacks something must not end like a whole one."""
        assert segment.sequence is not None
        if not (segment.again or segment.voiced):
            for sequence in speech.replace(segment, self._model.parts(segment)):
                self._model.drop(sequence)
        elif not segment.sequence.stopped:
            codes = len(segment.sequence.codes)
            advice = "shorten the text; `unfinished: keep` in engines.yaml would speak it as far as it goes"
            raise EngineFault(f"the model found no end of a part of this text within {codes} codes: {advice}")

    def _voice(self, speech: Speech) -> None:
        self._slices += 1
        speech.served = self._slices
        with self._blaming(speech):
            audio = speech.audio or self._take_piece(speech)
            try:
                chunk = next(audio)
            except StopIteration:
                self._put_piece_away(speech)
            else:
                if chunk is not None:
                    speech.outlet.put(chunk)
                    speech.heard = True

    def _take_piece(self, speech: Speech) -> Iterator[AudioChunk | None]:
        segment = speech.segment
        assert segment is not None
        piece = segment.next_piece()
        assert piece is not None
        segment.voiced, speech.piece = piece.stop, piece
        speech.audio = self._model.voice(speech, segment, piece)
        return speech.audio

    def _put_piece_away(self, speech: Speech) -> None:
        speech.audio = None
        if speech.piece is not None and speech.piece.last:
            speech.segments[speech.speaking].put_away()
            speech.speaking += 1
            if speech.segment is None:
                self._finish(speech)

    def _finish(self, speech: Speech) -> None:
        if not speech.heard:
            raise Unsupported("the model said nothing of this text")
        speech.outlet.end()
        self._leave(speech)

    # leaving

    def _leave(self, speech: Speech) -> None:
        """Its rows in the batch are free at once."""
        self._speeches.remove(speech)
        speech.audio = speech.preparing = None
        for sequence in speech.running():
            self._model.drop(sequence)

    def _fail(self, speech: Speech, error: SpeechError) -> None:
        speech.outlet.end(error)
        self._leave(speech)

    @contextmanager
    def _blaming(self, speech: Speech) -> Iterator[None]:
        """What goes wrong in here ends this speech, and no other."""
        try:
            yield
        except Exception as error:
            self._fail(speech, _fault(error))

    @contextmanager
    def _timed(self, sign: int) -> Iterator[None]:
        """Owe the time that passes in here to the other kind of work; 0: nobody waits for that."""
        since_s = self._clock()
        yield
        self._owed_s = self._owed_s + sign * (self._clock() - since_s) if sign else 0.0


def _fault(error: Exception) -> SpeechError:
    if isinstance(error, SpeechError):
        return error
    return EngineFault(f"the model failed: {type(error).__name__}: {error}")
