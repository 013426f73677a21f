from __future__ import annotations

from contextlib import ExitStack

from engines.openai.targets import BACK_OFF_S, LONGEST_BACK_OFF_S, SILENT_S, Target, Targets
from tests.virtual import VirtualClock


def three() -> tuple[Targets, VirtualClock, list[Target]]:
    clock = VirtualClock()
    targets = Targets(["http://a", "http://b", "http://c"], clock.monotonic)
    return targets, clock, list(targets)


def test_the_least_busy_is_asked_and_of_equals_the_one_that_rested_longest() -> None:
    targets, _, (a, b, c) = three()
    with ExitStack() as stack:
        order = []
        for _ in range(6):
            order.append(targets.choose())
            stack.enter_context(targets.asking(order[-1]))
        assert order == [a, b, c, a, b, c]
    for _ in range(2):
        assert targets.choose() is a
        with targets.asking(a), targets.asking(b):
            assert targets.choose() is c
        with targets.asking(c):
            pass


def test_one_that_was_tried_is_not_tried_again() -> None:
    targets, _, (a, b, c) = three()
    assert targets.choose([a]) is b
    assert targets.choose([a, b]) is c
    assert targets.choose([a, b, c]) is None


def test_one_that_failed_is_left_alone_and_twice_as_long_each_time() -> None:
    targets, clock, (a, b, c) = three()
    with targets.asking(b), targets.asking(c):
        for fault in range(10):
            targets.failed(a)
            alone_s = min(BACK_OFF_S * 2**fault, LONGEST_BACK_OFF_S)
            clock.advance(alone_s - 0.01)
            assert targets.choose() is not a
            clock.advance(0.01)
            assert targets.choose() is a
        targets.succeeded(a)
        targets.failed(a)
        clock.advance(BACK_OFF_S)
        assert targets.choose() is a


def test_one_that_others_hear_does_not_hang_however_impatient_its_listeners_are() -> None:
    targets, clock, (a, b, c) = three()
    with targets.asking(b), targets.asking(c):
        clock.advance(100)
        targets.silent(a, SILENT_S)
        assert targets.choose() is a, "that is too short to tell"
        targets.succeeded(a)
        clock.advance(SILENT_S)
        targets.silent(a, SILENT_S + 1)
        assert targets.choose() is a, "it has answered meanwhile"
        clock.advance(1)
        targets.silent(a, SILENT_S + 1)
        assert targets.choose() is not a


def test_one_that_says_how_long_is_left_alone_so_long() -> None:
    targets, clock, (a, b, c) = three()
    targets.failed(a, leave_s=300)
    targets.failed(a)
    with targets.asking(b), targets.asking(c):
        clock.advance(299)
        assert targets.choose() is not a
        clock.advance(1)
        assert targets.choose() is a


def test_a_single_request_finds_out_whether_it_is_well_again() -> None:
    targets, clock, (a, b, c) = three()
    targets.failed(a)
    clock.advance(BACK_OFF_S)
    with targets.asking(b), targets.asking(c):
        with targets.asking(a):
            assert targets.choose() is not a
        assert targets.choose() is a, "it ended without a verdict: the next one may find out"
        with targets.asking(a):
            targets.succeeded(a)
            assert a.busy == b.busy
        assert targets.choose() is a


def test_where_all_are_left_alone_the_first_to_be_back_is_asked() -> None:
    targets, _, (a, b, c) = three()
    for target, leave_s in ((a, 30), (b, 10), (c, 20)):
        targets.failed(target, leave_s)
    assert targets.choose() is b
    assert targets.choose([b]) is c


def test_one_alone_is_always_asked() -> None:
    targets = Targets(["http://a"], VirtualClock().monotonic)
    only = next(iter(targets))
    targets.failed(only, leave_s=300)
    assert targets.choose() is only


def test_it_is_visited_now_and_then_unless_it_speaks() -> None:
    targets, clock, (a, b, _) = three()
    assert targets.is_due(a, 30, 5)
    targets.visited(a)
    targets.succeeded(b)
    clock.advance(29)
    assert not targets.is_due(a, 30, 5)
    assert not targets.is_due(b, 30, 5)
    clock.advance(1)
    assert targets.is_due(a, 30, 5)
    with targets.asking(a):
        assert not targets.is_due(a, 30, 5)


def test_one_that_failed_is_visited_before_it_is_asked_again() -> None:
    targets, clock, (a, _, _) = three()
    targets.visited(a)
    targets.failed(a, leave_s=20)
    clock.advance(14)
    assert not targets.is_due(a, 30, 5)
    clock.advance(2)
    assert targets.is_due(a, 30, 5)
