"""The line: how long a newcomer will wait, by the work of those before him."""

from __future__ import annotations

import pytest

from gateway.health.line import AWAY_AFTER_S, LATEST_RETURN_S, Line, Visit


def learnt(pace: float) -> Line:
    """A line that knows how fast its engine is."""
    line, visit = Line(), Visit(10.0)
    line.wait(visit, 0.0)
    line.speak(visit, 0.0)
    line.spoke(visit, 10 * pace)
    return line


def speaking(line: Line, clause_s: float, later_s: float = 0.0, since_s: float = 100.0) -> Visit:
    visit = Visit(clause_s, later_s)
    line.wait(visit, since_s)
    line.speak(visit, since_s)
    return visit


def waiting(line: Line, clause_s: float, later_s: float = 0.0, *, begun: bool = False) -> Visit:
    visit = Visit(clause_s, later_s, begun=begun)
    line.wait(visit, 100.0)
    return visit


def test_nothing_is_known_before_anybody_has_spoken() -> None:
    line = Line()
    assert line.wait_s(1, 100.0) is None
    waiting(line, 5.0)
    assert line.wait_s(1, 100.0) is None


def test_the_first_clause_in_hand_tells_already() -> None:
    line = Line()
    visit = speaking(line, 10.0)
    assert line.pace(102.0) == pytest.approx(0.2)  # at least: nothing was given so far
    visit.given_s = 4.0
    assert line.pace(102.0) == pytest.approx(0.5)


def test_a_newcomer_waits_for_what_each_before_him_still_needs() -> None:
    line = learnt(0.5)
    speaking(line, 8.0)
    assert line.wait_s(1, 101.0) == pytest.approx(3.0)  # 4 s of work, one of them done
    waiting(line, 2.0)
    waiting(line, 6.0)
    assert line.wait_s(1, 101.0) == pytest.approx(3 + 1 + 3)
    assert line.next_turn_s(1, 101.0) == pytest.approx(3.0)


def test_with_several_slots_the_first_that_is_free_counts() -> None:
    line = learnt(1.0)
    for clause_s in (10.0, 2.0, 6.0):
        speaking(line, clause_s)
    assert line.wait_s(3, 100.0) == pytest.approx(2.0)
    waiting(line, 3.0)  # from 2 to 5
    assert line.wait_s(3, 100.0) == pytest.approx(5.0)


def test_what_is_overdue_is_taken_to_need_as_long_again() -> None:
    line = learnt(0.5)
    speaking(line, 4.0)
    assert [line.wait_s(1, now_s) for now_s in (100.0, 101.0, 102.0, 105.0)] == pytest.approx([2.0, 1.0, 0.0, 3.0])


def test_beside_one_long_speech_a_newcomer_gets_in_at_the_next_clause_and_a_second_one_does_not() -> None:
    line = learnt(1.0)
    speaking(line, 4.0, later_s=100.0)
    assert line.wait_s(1, 101.0) == pytest.approx(3.0)
    waiting(line, 5.0, later_s=5.0)
    # half of the slot is his, and half a clause passes at the change: 3 + 10 x 2 + 2
    assert line.wait_s(1, 101.0) == pytest.approx(3 + 20 + 2)


def test_speeches_that_come_back_go_before_newcomers() -> None:
    line = learnt(1.0)
    speaking(line, 4.0, later_s=2.0)
    waiting(line, 3.0, later_s=30.0, begun=True)
    assert line.wait_s(1, 100.0) == pytest.approx((4 + 2) * 2 + 2)


def test_a_speech_between_two_clauses_counts_until_it_waits_for_its_listener() -> None:
    line = learnt(1.0)
    away = speaking(line, 1.0, later_s=50.0, since_s=99.0)
    line.spoke(away, 100.0)
    speaking(line, 4.0)
    soon, later = line.wait_s(1, 100.0), line.wait_s(1, 100.0 + AWAY_AFTER_S)
    assert soon == pytest.approx(4 * 2 + 2)  # they take turns, and half a clause passes at the change
    assert later == pytest.approx(4 - AWAY_AFTER_S)


def test_who_leaves_is_in_nobodys_way() -> None:
    line = learnt(1.0)
    speaking(line, 1.0)
    gone = waiting(line, 50.0)
    line.leave(gone)
    line.leave(gone)
    assert line.wait_s(1, 100.0) == pytest.approx(1.0)


def test_the_pace_follows_the_engine() -> None:
    line = learnt(0.1)
    for n in range(10):
        line.spoke(speaking(line, 10.0, since_s=100.0 + n), 100.0 + n + 4.0)
    assert line.pace(0.0) == pytest.approx(0.4, rel=0.1)


def test_those_who_are_turned_away_are_told_to_come_back_one_after_another() -> None:
    line = learnt(0.5)
    speaking(line, 10.0)
    told = [line.come_back_in(2.0, 1, 100.0) for _ in range(4)]
    assert told == pytest.approx([2.0, 7.0, 12.0, 17.0])  # a speech of ten seconds takes five
    assert line.come_back_in(2.0, 1, 150.0) == pytest.approx(2.0)  # they came, or did not


def test_nobody_is_told_to_come_back_in_an_hour() -> None:
    line = learnt(0.5)
    speaking(line, 10.0)
    assert max(line.come_back_in(2.0, 1, 100.0) for _ in range(100)) == LATEST_RETURN_S
