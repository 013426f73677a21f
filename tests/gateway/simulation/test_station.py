"""One engine in virtual time: first come, first served, by so many slots."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.served_log.line import EngineThen
from gateway.simulation.pace import Pace
from gateway.simulation.station import Station
from policies.types import EngineState

PACE = Pace(first_audio_s=0.2, real_time_factor=0.5, heard_s=0.3)


def station(slots: int = 1, queue: int = 8) -> Station:
    return Station(EngineState("a", slots=slots, queue=queue), PACE)


def test_who_comes_to_a_free_slot_does_not_wait_and_the_next_waits_for_its_end() -> None:
    one = station()
    assert one.enter(10.0, 5.0) == 0.0
    assert one.enter(12.0, 5.0) == 3.0
    assert (one.busy, one.queued) == (1, 1)
    assert one.enter(12.0, 1.0) == 8.0
    one.advance(15.0)
    assert (one.busy, one.queued) == (1, 1)
    one.advance(21.0)
    assert (one.busy, one.queued, one.wait_s(21.0)) == (0, 0, 0.0)
    assert (one.busy_s, one.peak, one.until_s) == (11.0, 3.0, 21.0)


def test_several_slots_speak_at_once() -> None:
    one = station(slots=2)
    assert [one.enter(0.0, held_s) for held_s in (4.0, 2.0, 1.0, 1.0)] == [0.0, 0.0, 2.0, 3.0]
    assert one.peak == 2.0


def test_it_is_full_when_slots_and_queue_are() -> None:
    one = station(queue=1)
    one.enter(0.0, 5.0)
    assert not one.full
    one.enter(0.0, 5.0)
    assert one.full
    one.advance(5.0)
    assert not one.full


def test_what_was_measured_is_known_for_a_while_after_the_end_of_a_speech() -> None:
    one = station()
    one.enter(0.0, 2.0)
    assert one.view(0.0, None).first_audio_s is None
    one.advance(2.0)
    known = one.view(2.0, None)
    assert (known.first_audio_s, known.real_time_factor) == (0.2, 0.5)
    assert one.view(61.0, None).first_audio_s == 0.2
    assert one.view(63.0, None).first_audio_s is None


def test_health_and_measurements_are_those_of_the_record() -> None:
    one = station()
    then = EngineThen(state="cooling", busy=7, queued=3, slots=9, first_audio_s=0.7, real_time_factor=1.5)
    assert one.view(0.0, then).first_audio_s is None
    one.known(0.0)
    seen = one.view(0.0, then)
    assert (seen.state, seen.first_audio_s, seen.real_time_factor) == ("cooling", 0.7, 1.5)
    assert (seen.busy, seen.queued, seen.slots, seen.wait_s) == (0, 0, 1, 0.0)


arrivals = st.lists(st.tuples(st.floats(0, 5), st.floats(0.01, 5)), max_size=30)


@given(st.integers(1, 3), arrivals)
def test_no_slot_is_held_twice_and_nobody_slips_in(slots: int, coming: list[tuple[float, float]]) -> None:
    one, now_s, began = station(slots), 0.0, list[tuple[float, float]]()
    for after_s, held_s in coming:
        now_s += after_s
        one.advance(now_s)
        begins_s = now_s + one.enter(now_s, held_s)
        began.append((begins_s, begins_s + held_s))
    assert [begins_s for begins_s, _ in began] == sorted(begins_s for begins_s, _ in began)
    for begins_s, _ in began:
        assert sum(start <= begins_s < end - 1e-9 for start, end in began) <= slots
    one.advance(1e9)
    assert (one.busy, one.queued) == (0, 0)
