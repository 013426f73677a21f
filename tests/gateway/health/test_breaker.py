"""The breaker: what opens it, who gets through, and how it closes."""

from __future__ import annotations

import random

import pytest

from gateway.health.breaker import (
    FAULTS_TO_OPEN,
    LONGEST_OPEN_S,
    LONGEST_TOLD_S,
    OPEN_S,
    SAMPLE,
    SAMPLE_WITHIN_S,
    Breaker,
)


def fail(breaker: Breaker, times: int, now_s: float = 100.0) -> None:
    for _ in range(times):
        breaker.failed(now_s, probe=False)


def test_faults_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = Breaker()
    fail(breaker, FAULTS_TO_OPEN - 1)
    breaker.succeeded(100.0)
    fail(breaker, FAULTS_TO_OPEN - 1)
    assert not breaker.refuses(100.0)
    assert breaker.failed(100.0, probe=False)
    assert breaker.refuses(100.0)
    assert breaker.words() == f"after {FAULTS_TO_OPEN} faults"


@pytest.mark.parametrize("seed", range(20))
def test_an_engine_that_fails_three_times_of_five_at_random_is_found_out(seed: int) -> None:
    breaker, chance = Breaker(), random.Random(seed)
    for attempt in range(2 * SAMPLE):
        if chance.random() < 0.6:
            breaker.failed(attempt * 0.5, probe=False)
        else:
            breaker.succeeded(attempt * 0.5)
        if breaker.refuses(attempt * 0.5):
            return
    pytest.fail("it was never left alone")


@pytest.mark.parametrize("seed", range(20))
def test_an_engine_that_fails_once_in_twenty_at_random_stays(seed: int) -> None:
    breaker, chance = Breaker(), random.Random(seed)
    for attempt in range(1000):
        if chance.random() < 0.05:
            breaker.failed(attempt * 0.5, probe=False)
        else:
            breaker.succeeded(attempt * 0.5)
        assert not breaker.refuses(attempt * 0.5)


def alternate(breaker: Breaker, every_s: float) -> None:
    for attempt in range(SAMPLE):
        breaker.succeeded(attempt * every_s) if attempt % 2 else breaker.failed(attempt * every_s, probe=False)


def test_half_of_the_latest_open_it_only_when_they_are_recent() -> None:
    quick, slow = Breaker(), Breaker()
    alternate(quick, SAMPLE_WITHIN_S / SAMPLE / 2)
    alternate(slow, SAMPLE_WITHIN_S)
    for breaker, now_s in ((quick, SAMPLE_WITHIN_S / 2), (slow, SAMPLE_WITHIN_S * SAMPLE)):
        breaker.failed(now_s, probe=False)
    assert quick.refuses(SAMPLE_WITHIN_S / 2)
    assert quick.words() == f"after {SAMPLE // 2} faults in {SAMPLE} attempts"
    assert not slow.refuses(SAMPLE_WITHIN_S * SAMPLE)


def test_one_probe_gets_through_after_a_while_and_its_success_forgets_everything() -> None:
    breaker = Breaker()
    fail(breaker, FAULTS_TO_OPEN)
    assert not breaker.refuses(100 + OPEN_S)
    assert breaker.admit()
    assert breaker.refuses(100 + OPEN_S)  # nobody else, while the probe is on its way
    assert breaker.succeeded(100 + OPEN_S)
    assert not breaker.admit()
    fail(breaker, FAULTS_TO_OPEN - 1, 100 + OPEN_S)
    assert not breaker.refuses(100 + OPEN_S)


def test_each_probe_that_fails_doubles_the_wait_up_to_a_bound() -> None:
    breaker, now_s, waits = Breaker(), 0.0, []
    fail(breaker, FAULTS_TO_OPEN, now_s)
    for _ in range(6):
        waits.append(breaker.open_until_s - now_s)
        now_s = breaker.open_until_s
        assert breaker.admit()
        assert breaker.failed(now_s, probe=True)
    assert waits == [OPEN_S * 2**n for n in range(4)] + [LONGEST_OPEN_S] * 2


def test_a_probe_without_a_verdict_makes_room_for_the_next() -> None:
    breaker = Breaker()
    fail(breaker, FAULTS_TO_OPEN)
    breaker.admit()
    breaker.give_back()
    assert not breaker.refuses(100 + OPEN_S)
    assert breaker.admit()


def test_attempts_that_began_before_it_opened_say_nothing_new() -> None:
    breaker = Breaker()
    fail(breaker, FAULTS_TO_OPEN + 20)
    assert breaker.open_until_s == 100 + OPEN_S
    assert breaker.admit()
    assert not breaker.failed(100 + OPEN_S, probe=False)
    assert breaker.probing


def test_under_suspicion_one_fault_is_enough_and_a_success_clears_it() -> None:
    breaker = Breaker()
    breaker.suspect_until_s = 130.0
    assert breaker.failed(120.0, probe=False)
    assert breaker.words() == "after 1 fault"
    breaker.admit()
    breaker.succeeded(140.0)
    assert not breaker.failed(141.0, probe=False)


def test_suspicion_ends() -> None:
    breaker = Breaker()
    breaker.suspect_until_s = 130.0
    assert not breaker.failed(131.0, probe=False)


def test_an_engine_that_says_when_it_will_be_back_is_left_alone_until_then_after_one_fault() -> None:
    breaker = Breaker()
    assert breaker.failed(100.0, probe=False, back_in_s=300.0)
    assert breaker.words() == "after 1 fault"
    assert breaker.refuses(399.0)
    assert breaker.admit()
    assert breaker.failed(400.0, probe=True, back_in_s=300.0)
    assert breaker.open_until_s == 700.0
    assert breaker.admit()
    assert breaker.succeeded(700.0)
    assert not breaker.refuses(700.0)
    breaker.failed(700.0, probe=False)
    assert not breaker.refuses(700.0)


def test_what_an_engine_says_of_its_return_is_believed_within_bounds() -> None:
    breaker = Breaker()
    breaker.failed(100.0, probe=False, back_in_s=1e9)
    assert breaker.open_until_s == 100.0 + LONGEST_TOLD_S
    assert breaker.failed(800.0, probe=True) is True  # now it does not say
    assert breaker.open_until_s == 800.0 + 2 * OPEN_S
