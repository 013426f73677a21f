"""Whose work comes first, on a model that only counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engines.contract import AudioChunk, SpeechRequest
from engines.errors import EngineFault, SpeechError, Unavailable, Unsupported
from engines.indextts.schedule import WAITING, Schedule
from engines.indextts.speech import Segment, Speech
from engines.indextts.voicing import Piece

RATE_HZ = 100


class Listener:
    """An outlet whose listener takes nothing unless it is told to."""

    def __init__(self) -> None:
        self.closed = False
        self.chunks: list[AudioChunk] = []
        self.taken = 0
        self.ended = False
        self.error: BaseException | None = None

    @property
    def ahead_s(self) -> float:
        return sum(chunk.seconds for chunk in self.chunks[self.taken :])

    def put(self, chunk: AudioChunk) -> None:
        assert not self.ended
        self.chunks.append(chunk)

    def end(self, error: BaseException | None = None) -> None:
        self.ended, self.error = True, error


class Sequence:
    def __init__(self, name: str, length: int, ends: bool) -> None:
        self.name, self.length, self.ends = name, length, ends
        self.codes: list[int] = []

    @property
    def stopped(self) -> bool:
        return self.ends and len(self.codes) == self.length


class Counting:
    """Decodes a code a step, speaks a code as one sample in a slice, and writes down what it did on a clock."""

    def __init__(self, rows: int = 4, decode_s: float = 1.0, slice_s: float = 1.0, slices: int = 1) -> None:
        self.rows, self.decode_s, self.slice_s, self.slices = rows, decode_s, slice_s, slices
        self.most_codes = 10**6  # of a piece
        self.now_s = 0.0
        self.did: list[str] = []
        self.running: list[Sequence] = []
        self.lengths: dict[str, list[int]] = {}
        self.thoughts: dict[str, int] = {}  # slices that preparing takes
        self.endless: set[int] = set()  # lengths at which the model is cut off

    @property
    def room(self) -> int:
        return self.rows - len(self.running)

    def prepare(self, speech: Speech) -> Iterator[None]:
        name = speech.request.text
        if name == "wrong":
            raise Unsupported("no")
        for _ in range(self.thoughts.get(name, 0)):
            self.now_s += 0.06
            self.did.append(f"prepare {name}")
            yield
        speech.voice = object()  # type: ignore[assignment]
        first = speech.seed  # codes of the first piece
        lengths = self.lengths.get(name, [4])
        speech.segments = [
            Segment(n, name, [], length, speech.max_codes, first if n == 0 else 0, self.most_codes)  # type: ignore[arg-type]
            for n, length in enumerate(lengths)
        ]

    def begin(self, segment: Segment) -> None:
        self.did.append(f"begin {segment.conditioning}{segment.number}")
        sequence = Sequence(f"{segment.conditioning}{segment.number}", segment.seed, segment.seed not in self.endless)
        segment.sequence = sequence  # type: ignore[assignment]
        self.running.append(sequence)

    def decode(self) -> list[Any]:
        self.now_s += self.decode_s
        self.did.append("decode " + " ".join(one.name for one in self.running))
        for one in self.running:
            one.codes += [0] * bool(one.length)
        ended = [one for one in self.running if len(one.codes) >= one.length]
        self.running = [one for one in self.running if one not in ended]
        return ended

    def parts(self, segment: Segment) -> list[Segment]:
        lengths = [segment.seed // 2, segment.seed - segment.seed // 2] if segment.seed > 1 else [segment.seed]
        return [replace(segment, seed=one, sequence=None, decoded=False, again=True) for one in lengths]

    def drop(self, sequence: Any) -> None:
        self.running.remove(sequence)

    def voice(self, speech: Speech, segment: Segment, piece: Piece) -> Iterator[AudioChunk | None]:
        for number in range(self.slices):
            self.now_s += self.slice_s
            self.did.append(f"voice {segment.conditioning}{segment.number}")
            if speech.request.text == "broken":
                raise ValueError("a network failed")
            last = number == self.slices - 1
            yield AudioChunk(bytes(2 * (piece.stop - piece.start)), RATE_HZ) if last and piece.stop else None


class Play:
    """A schedule on a counting model."""

    def __init__(self, model: Counting, ahead_s: float = 100.0) -> None:
        self.model = model
        self.schedule = Schedule(model, ahead_s, clock=lambda: model.now_s)  # type: ignore[arg-type]

    def add(self, name: str, first_codes: int = 0, *, keeps_unfinished: bool = False) -> Listener:
        listener = Listener()
        request = SpeechRequest(name, "zh")
        self.schedule.add(Speech(request, listener, first_codes, 100, keeps_unfinished))  # type: ignore[arg-type]
        return listener

    def until_idle(self) -> None:
        for _ in range(1000):
            if not self.schedule.turn():
                return
        raise AssertionError("there is always more to do")

    def count(self, what: str) -> int:
        return sum(one == what for one in self.model.did)


def test_segments_of_all_who_came_are_decoded_as_one_batch() -> None:
    play = Play(Counting())
    listeners = [play.add("a"), play.add("b")]
    play.until_idle()
    assert play.count("decode a0 b0") == 4
    assert all(one.ended and not one.error for one in listeners)
    assert [one.chunks[0].samples for one in listeners] == [4, 4]


def test_a_text_that_is_long_to_prepare_leaves_half_of_the_turns_to_others() -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [30]}
    play.model.thoughts = {"long": 40, "short": 1}
    listener = play.add("a")
    for _ in range(3):
        play.schedule.turn()
    play.add("long")
    for _ in range(6):
        play.schedule.turn()
    thought, decoded = play.count("prepare long"), play.count("decode a0")
    assert thought >= 6
    assert decoded >= 3
    play.add("short")
    for _ in range(3):
        play.schedule.turn()
    assert "begin short0" in play.model.did, "it was asked before the long one went on"
    play.until_idle()
    assert listener.ended
    assert play.count("prepare long") == 40


def test_who_leaves_while_his_text_is_prepared_is_not_thought_about_any_more() -> None:
    play = Play(Counting())
    play.model.thoughts = {"long": 40}
    listener = play.add("long")
    play.schedule.turn()
    listener.closed = True
    play.until_idle()
    assert play.count("prepare long") < 4


def test_segments_that_are_decoded_and_not_spoken_do_not_pile_up_and_spoken_ones_hold_nothing() -> None:
    play = Play(Counting(decode_s=0.001, slice_s=1, slices=10))
    play.model.lengths = {"old": [1] * 30, "new": [300]}
    play.add("old")
    (old,) = play.schedule._speeches
    while not old.heard:
        play.schedule.turn()
    play.add("new", first_codes=250)  # so that decoding is urgent
    most = 0
    for _ in range(300):
        play.schedule.turn()
        most = max(most, sum(one.sequence is not None for one in old.segments))
    assert 0 < most <= WAITING + play.model.rows
    play.until_idle()
    assert not any(one.sequence or one.voicing for one in old.segments)


def test_a_newcomer_joins_the_batch_that_runs() -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [10]}
    play.add("a")
    for _ in range(5):
        play.schedule.turn()
    play.add("b")
    play.until_idle()
    assert play.model.did.index("begin b0") < play.model.did.index("decode a0 b0")
    assert play.count("voice a0") == play.count("voice b0") == 1


def test_further_segments_leave_a_row_for_newcomers() -> None:
    play = Play(Counting(rows=3))
    play.model.lengths = {"a": [9, 9, 9, 9]}
    play.add("a")
    for _ in range(6):
        play.schedule.turn()
    assert len(play.model.running) == 2
    play.add("b")
    for _ in range(2):
        play.schedule.turn()
    assert [one.name for one in play.model.running] == ["a0", "a1", "b0"]
    play.until_idle()
    assert play.count("voice a3") == 1


def test_one_row_is_enough_for_a_text_of_several_segments() -> None:
    play = Play(Counting(rows=1))
    play.model.lengths = {"a": [2, 2, 2]}
    listener = play.add("a")
    play.until_idle()
    assert [one.samples for one in listener.chunks] == [2, 2, 2]


def test_segments_are_heard_in_order_although_a_later_one_is_decoded_first() -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [9, 2]}
    listener = play.add("a")
    play.until_idle()
    assert [one.samples for one in listener.chunks] == [9, 2]


def test_a_first_piece_is_made_before_its_segment_is_decoded_further() -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [30]}
    listener = play.add("a", first_codes=4)
    play.until_idle()
    assert [one.samples for one in listener.chunks] == [4, 26]
    before = play.model.did[: play.model.did.index("voice a0")]
    assert sum(one.startswith("decode") for one in before) == 5  # with the margin


@pytest.mark.parametrize(
    ("length", "pieces"), [(59, [4, 55]), (60, [4, 36, 20]), (599, [4, 36, 559]), (600, [4, 36, 360, 200])]
)
def test_a_short_rest_is_part_of_the_piece_before_it(length: int, pieces: list[int]) -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [length]}
    listener = play.add("a", first_codes=4)
    play.until_idle()
    assert [one.samples for one in listener.chunks] == pieces


@pytest.mark.parametrize(
    ("first", "length", "pieces"),
    [(0, 10, [10]), (0, 14, [14]), (0, 15, [10, 5]), (0, 29, [10, 10, 9]), (4, 31, [4, 10, 10, 7]), (40, 16, [10, 6])],
)
def test_no_piece_is_much_longer_than_the_solver_may_be_given(first: int, length: int, pieces: list[int]) -> None:
    play = Play(Counting())
    play.model.most_codes = 10
    play.model.lengths = {"a": [length]}
    listener = play.add("a", first_codes=first)
    play.until_idle()
    assert [one.samples for one in listener.chunks] == pieces


@pytest.mark.parametrize("length", range(4, 40))
def test_the_borders_of_pieces_do_not_depend_on_when_they_are_made(length: int) -> None:
    pieces = []
    for slice_s in (0.01, 50.0):  # decoding is far ahead, or just there
        play = Play(Counting(slice_s=slice_s, slices=3))
        play.model.lengths = {"a": [length], "b": [200]}
        play.add("b", first_codes=5)
        listener = play.add("a", first_codes=2)
        play.until_idle()
        pieces.append([one.samples for one in listener.chunks])
    assert pieces[0] == pieces[1]
    assert sum(pieces[0]) == length


def test_who_has_heard_nothing_goes_before_who_has() -> None:
    play = Play(Counting(slices=8))
    play.model.lengths = {"old": [4, 4]}
    old = play.add("old")
    while not old.chunks:
        play.schedule.turn()
    new = play.add("new")
    while not new.chunks:
        play.schedule.turn()
    begun = len(play.model.did) - play.model.did[::-1].index("begin new0")
    since = play.model.did[begun:]
    assert since.count("voice new0") == 8
    assert 0 < since.count("voice old1") < 8, "nobody starves either"


def test_of_those_who_have_heard_something_nobody_waits_for_ever() -> None:
    play = Play(Counting(rows=8, slices=40))
    play.model.lengths = {"first": [4, 4], "second": [4, 4]}
    listeners = [play.add("first"), play.add("second")]
    while not all(one.chunks for one in listeners):
        play.schedule.turn()
    begun = len(play.model.did)
    while not listeners[0].ended:
        play.schedule.turn()
    assert 5 < play.model.did[begun:].count("voice second1") < 20


def test_decoding_for_who_waits_and_audio_of_others_share_the_time() -> None:
    play = Play(Counting(decode_s=1, slice_s=3, slices=40))
    play.model.lengths = {"old": [1], "new": [60]}
    old = play.add("old")
    while "voice old0" not in play.model.did:
        play.schedule.turn()
    play.add("new", first_codes=60)
    while not old.ended:
        play.schedule.turn()
    since = play.model.did[play.model.did.index("begin new0") :]
    until = since[: len(since) - since[::-1].index("decode new0")]
    assert until.count("decode new0") == pytest.approx(3 * until.count("voice old0"), abs=6)


def test_what_a_listener_does_not_take_is_not_made_and_goes_on_when_he_does() -> None:
    play = Play(Counting(), ahead_s=0.05)
    play.model.lengths = {"a": [10, 10, 10, 10, 10, 10, 10, 10]}
    listener = play.add("a")
    play.until_idle()
    assert len(listener.chunks) == 1
    assert len([one for one in play.model.did if one.startswith("begin")]) < 8
    while not listener.ended:
        listener.taken = len(listener.chunks)
        play.until_idle()
    assert len(listener.chunks) == 8


def test_others_are_served_while_somebody_does_not_listen() -> None:
    play = Play(Counting(), ahead_s=0.05)
    play.model.lengths = {"a": [10, 10, 10]}
    play.add("a")
    play.until_idle()
    listener = play.add("b")
    play.until_idle()
    assert listener.ended


def test_who_leaves_frees_his_rows_before_anything_else_is_done() -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [50, 50]}
    listener = play.add("a")
    for _ in range(6):
        play.schedule.turn()
    assert len(play.model.running) == 2
    listener.closed = True
    assert not play.schedule.turn()
    assert not play.model.running


@pytest.mark.parametrize(("name", "error"), [("wrong", Unsupported), ("broken", EngineFault)])
def test_what_goes_wrong_with_one_ends_that_one_alone(name: str, error: type[SpeechError]) -> None:
    play = Play(Counting())
    unhappy, happy = play.add(name), play.add("a")
    play.until_idle()
    assert isinstance(unhappy.error, error)
    assert happy.ended
    assert happy.error is None


def test_a_batch_that_fails_ends_all_in_it_and_the_next_ones_are_served() -> None:
    play = Play(Counting())
    decode, play.model.decode = play.model.decode, lambda: 1 / 0  # type: ignore[method-assign, assignment]
    listener = play.add("a")
    play.until_idle()
    assert isinstance(listener.error, EngineFault)
    assert not play.model.running
    play.model.decode = decode  # type: ignore[method-assign]
    listener = play.add("b")
    play.until_idle()
    assert listener.chunks


def test_a_model_that_says_nothing_is_told_from_one_that_speaks() -> None:
    play = Play(Counting())
    play.model.voice = lambda *_: iter(())  # type: ignore[method-assign, assignment]
    listener = play.add("a")
    play.until_idle()
    assert isinstance(listener.error, Unsupported)


def test_a_segment_that_has_no_end_is_said_once_more_in_parts_and_what_follows_comes_in_order() -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [3, 9, 4, 20]}
    play.model.endless = {9}
    listener = play.add("a")
    play.until_idle()
    assert [one.samples for one in listener.chunks] == [3, 4, 5, 4, 20]
    assert play.count("begin a4") == 1, "they are numbered anew"
    assert listener.ended
    assert listener.error is None
    assert not play.model.running


def test_a_speech_of_which_a_part_has_no_end_again_ends_in_an_error_and_the_others_go_on() -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [3, 9, 4], "b": [30]}
    play.model.endless = {9, 5}
    listener, other = play.add("a"), play.add("b")
    play.until_idle()
    assert isinstance(listener.error, EngineFault)
    assert [one.samples for one in listener.chunks] in ([3], [3, 4])
    assert [one.samples for one in other.chunks] == [30]
    assert not play.model.running


def test_what_was_heard_of_a_segment_without_an_end_never_ends_like_a_whole_one() -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [30]}
    play.model.endless = {30}
    listener = play.add("a", first_codes=4)
    play.until_idle()
    assert listener.chunks
    assert isinstance(listener.error, EngineFault)
    assert "no end" in listener.error.message
    assert play.count("begin a0") == 1


def test_who_wants_it_hears_what_there_is_of_a_segment_without_an_end() -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [9, 4]}
    play.model.endless = {9}
    listener = play.add("a", keeps_unfinished=True)
    play.until_idle()
    assert [one.samples for one in listener.chunks] == [9, 4]
    assert listener.error is None


def test_a_segment_of_which_nothing_is_said_is_tried_once_more() -> None:
    play = Play(Counting())
    play.model.lengths = {"a": [3, 0, 4]}
    listener = play.add("a")
    play.until_idle()
    assert play.count("begin a1") == 2
    assert [one.samples for one in listener.chunks] == [3, 4]
    assert listener.error is None


def test_the_end_is_told_to_everybody() -> None:
    play = Play(Counting())
    listeners = [play.add("a"), play.add("b")]
    play.schedule.turn()
    play.schedule.end(Unavailable("closed"))
    assert [type(one.error) for one in listeners] == [Unavailable, Unavailable]
    assert not play.model.running


def test_the_end_is_told_to_everybody_even_when_nothing_works_any_more() -> None:
    play = Play(Counting())
    listeners = [play.add("a"), play.add("b")]
    while len(play.model.running) < 2:
        play.schedule.turn()
    play.model.drop = lambda sequence: 1 / 0  # type: ignore[method-assign, assignment]
    with pytest.raises(ZeroDivisionError):
        play.schedule.end(Unavailable("closed"))
    assert all(one.ended for one in listeners)
