"""The board: what faults, cool-downs and measurements do to the view that policies get."""

from __future__ import annotations

import asyncio

import pytest

from engines.errors import DeadlineExceeded, EngineFault, InvalidRequest, SpeechError, Throttled, Unavailable
from engines.slots import Slots
from gateway.health.board import Board
from gateway.health.breaker import FAULTS_TO_OPEN, OPEN_S
from gateway.health.line import Visit
from gateway.health.row import COOL_DOWN_S, LONGEST_COOL_DOWN_S, STALE_S
from policies.types import EngineState
from tests.virtual import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def board(clock: VirtualClock) -> Board:
    board = Board(clock)
    board.add("a", Slots(2, 3))
    board.row("a").set_state("up")
    return board


def view(board: Board) -> EngineState:
    return board.snapshot().engines["a"]


def fault(board: Board, times: int, error: SpeechError | None = None, *, probe: bool = False) -> None:
    for _ in range(times):
        board.row("a").failed(error or EngineFault("broke"), probe=probe)


def test_an_engine_is_starting_until_it_is_said_to_be_up(clock: VirtualClock) -> None:
    board = Board(clock)
    board.add("a", Slots(1))
    assert view(board).state == "starting"
    board.row("a").set_state("up")
    assert view(board).state == "up"


def test_faults_in_a_row_open_the_breaker_and_it_says_why(board: Board) -> None:
    fault(board, FAULTS_TO_OPEN - 1)
    assert view(board).state == "up"
    fault(board, 1)
    assert view(board).state == "down"
    assert view(board).reason == f"after {FAULTS_TO_OPEN} faults: broke"
    with pytest.raises(Unavailable):
        board.row("a").admit()


def test_the_log_tells_once_that_an_engine_is_left_alone_and_that_it_is_back(
    board: Board, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "voxgate.fleet")
    fault(board, 1, Unavailable("the key is refused", retry_after_s=300))
    fault(board, 3)  # of attempts that were under way
    clock.advance(300)
    assert board.row("a").admit()
    board.row("a").succeeded()
    board.row("a").succeeded()
    for _ in range(3):
        board.row("a").failed(Throttled("too much", retry_after_s=5))
        clock.advance(0.01)
    assert caplog.messages == [
        "engine a is left alone for 300 s, after 1 fault: the key is refused",
        "engine a speaks again",
        "engine a cools down for 5 s: too much",
    ]


def test_a_success_between_faults_keeps_the_breaker_closed(board: Board) -> None:
    fault(board, FAULTS_TO_OPEN - 1)
    board.row("a").succeeded()
    fault(board, FAULTS_TO_OPEN - 1)
    assert view(board).state == "up"


def test_a_bad_request_is_never_counted_against_an_engine(board: Board) -> None:
    fault(board, 100, InvalidRequest("no"))
    assert view(board).state == "up"


def test_a_deadline_counts_as_a_fault(board: Board) -> None:
    fault(board, FAULTS_TO_OPEN, DeadlineExceeded("late"))
    assert view(board).state == "down"


def test_an_open_breaker_lets_one_probe_through_after_its_time(board: Board, clock: VirtualClock) -> None:
    fault(board, FAULTS_TO_OPEN)
    assert view(board).state == "down"
    clock.advance(OPEN_S)
    assert view(board).state == "up"
    assert board.row("a").admit() is True
    assert view(board).state == "down"  # nobody else while the probe is on its way
    with pytest.raises(Unavailable):
        board.row("a").admit()
    board.row("a").succeeded()
    assert view(board).state == "up"
    assert board.row("a").admit() is False


def test_a_failed_probe_doubles_the_wait(board: Board, clock: VirtualClock) -> None:
    fault(board, FAULTS_TO_OPEN)
    clock.advance(OPEN_S)
    board.row("a").admit()
    fault(board, 1, probe=True)
    clock.advance(OPEN_S)
    assert view(board).state == "down"
    clock.advance(OPEN_S)
    assert view(board).state == "up"


def test_faults_of_attempts_that_began_before_the_breaker_opened_do_not_keep_it_open_longer(
    board: Board, clock: VirtualClock
) -> None:
    fault(board, FAULTS_TO_OPEN + 20)
    clock.advance(OPEN_S)
    assert board.row("a").admit() is True
    fault(board, 1)
    with pytest.raises(Unavailable):  # the probe is still on its way
        board.row("a").admit()


@pytest.mark.parametrize("error", [Throttled("quota", retry_after_s=1), InvalidRequest("no")])
def test_a_probe_whose_error_is_no_fault_is_given_back(board: Board, clock: VirtualClock, error: SpeechError) -> None:
    fault(board, FAULTS_TO_OPEN)
    clock.advance(OPEN_S)
    board.row("a").admit()
    fault(board, 1, error, probe=True)
    clock.advance(1.1)
    assert view(board).state == "up"
    assert board.row("a").admit() is True


def test_a_probe_without_a_verdict_is_given_back(board: Board, clock: VirtualClock) -> None:
    fault(board, FAULTS_TO_OPEN)
    clock.advance(OPEN_S)
    assert board.row("a").admit()
    board.row("a").give_back_probe()
    assert board.row("a").admit()


def test_a_throttled_engine_cools_down_and_its_breaker_stays_closed(board: Board, clock: VirtualClock) -> None:
    fault(board, FAULTS_TO_OPEN * 2, Throttled("quota", retry_after_s=4))
    assert view(board).state == "cooling"
    clock.advance(3.9)
    assert view(board).state == "cooling"
    clock.advance(0.2)
    assert view(board).state == "up"
    fault(board, 1, Throttled("quota"))
    clock.advance(COOL_DOWN_S - 0.1)
    assert view(board).state == "cooling"


def test_a_shorter_cool_down_does_not_cut_a_longer_one(board: Board, clock: VirtualClock) -> None:
    fault(board, 1, Throttled("quota of the minute", retry_after_s=60))
    fault(board, 1, Throttled("too many at once"))
    clock.advance(59)
    assert view(board).state == "cooling"
    assert view(board).reason == "quota of the minute"
    clock.advance(1.1)
    assert view(board).state == "up"


def test_no_service_can_send_its_engine_away_for_ever(board: Board, clock: VirtualClock) -> None:
    fault(board, 1, Throttled("come back next year", retry_after_s=3e7))
    clock.advance(LONGEST_COOL_DOWN_S + 1)
    assert view(board).state == "up"


def test_an_engine_that_knows_when_it_will_be_back_is_left_alone_at_once_and_says_why(
    board: Board, clock: VirtualClock
) -> None:
    fault(board, 1, Unavailable("its key is wrong", retry_after_s=300))
    state = view(board)
    assert (state.state, state.reason, state.back_in_s) == ("down", "after 1 fault: its key is wrong", 300)
    with pytest.raises(Unavailable, match="its key is wrong") as turned_away:
        board.row("a").admit()
    board.row("a").failed(turned_away.value)  # as one who was turned away: no news
    clock.advance(300)
    assert view(board).state == "up"
    assert board.row("a").admit() is True
    board.row("a").succeeded()
    assert board.row("a").admit() is False


def test_it_is_told_when_an_engine_may_be_back(board: Board, clock: VirtualClock) -> None:
    assert view(board).back_in_s is None
    fault(board, FAULTS_TO_OPEN)
    clock.advance(3)
    assert view(board).back_in_s == OPEN_S - 3
    with pytest.raises(Unavailable) as turned_away:
        board.row("a").admit()
    assert turned_away.value.retry_after_s == OPEN_S - 3
    clock.advance(OPEN_S)
    assert view(board).back_in_s is None
    fault(board, 1, Throttled("quota", retry_after_s=40))
    assert view(board).back_in_s == 40
    board.row("a").set_state("down", "its process ended")
    assert view(board).back_in_s is None
    board.row("a").comes_back_in(4.0)
    clock.advance(1)
    assert view(board).back_in_s == 3
    board.row("a").set_state("up")
    clock.advance(60)
    assert view(board).back_in_s is None


async def test_who_waits_for_an_engine_goes_elsewhere_when_its_breaker_opens(board: Board) -> None:
    row = board.row("a")
    for _ in range(row.slots.limit):
        await row.slots.acquire()
    waiting = [asyncio.create_task(row.slots.acquire()) for _ in range(2)]
    await asyncio.sleep(0)
    fault(board, FAULTS_TO_OPEN)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in results] == [Unavailable] * 2


async def test_the_view_knows_the_wait_once_the_engine_is_known(board: Board, clock: VirtualClock) -> None:
    row = board.row("a")
    assert view(board).wait_s == 0
    visits = [Visit(10.0), Visit(4.0)]
    for visit in visits:
        await row.slots.acquire()
        row.line.speak(visit, clock.monotonic())
    assert view(board).wait_s == 0  # nothing is known of its speed
    clock.advance(2)
    assert view(board).wait_s == pytest.approx(0.0)  # half a second for each of audio, as far as one can see
    row.line.spoke(visits[1], clock.monotonic())
    row.line.speak(Visit(4.0), clock.monotonic())
    assert view(board).wait_s == pytest.approx(2.0)
    clock.advance(0.5)
    assert view(board).wait_s == pytest.approx(1.5)
    assert view(board).expected_wait_s(100.0) == pytest.approx(1.5)


def test_a_row_that_left_the_board_goes_on_alone(board: Board) -> None:
    row = board.row("a")
    board.remove("a")
    board.add("a", Slots(1)).set_state("up")
    for _ in range(FAULTS_TO_OPEN):
        row.failed(EngineFault("broke"))
    assert view(board).state == "up"


def test_a_new_start_is_a_new_chance(board: Board) -> None:
    fault(board, FAULTS_TO_OPEN)
    board.row("a").set_state("down", "its process ended")
    assert view(board).reason == "its process ended"
    board.row("a").set_state("up")
    assert view(board).state == "up"


def test_measurements_are_averaged_and_forgotten_when_old(board: Board, clock: VirtualClock) -> None:
    board.row("a").measured(first_audio_s=1.0, work_s=2.0, audio_s=4.0)
    board.row("a").measured(first_audio_s=2.0, work_s=4.0, audio_s=4.0)
    assert view(board).first_audio_s == pytest.approx(1.3)
    assert view(board).real_time_factor == pytest.approx(0.65)
    clock.advance(STALE_S + 1)
    assert view(board).first_audio_s is None
    board.row("a").measured(first_audio_s=7.0, work_s=1.0, audio_s=4.0)
    assert view(board).first_audio_s == 7.0


def test_what_an_engine_never_managed_is_not_expected_of_it_after_a_silence(board: Board, clock: VirtualClock) -> None:
    for work_s in (12.0, 24.0):
        board.row("a").measured(first_audio_s=5.0, work_s=work_s, audio_s=4.0)
    assert view(board).real_time_factor == pytest.approx(3.9)
    clock.advance(STALE_S + 1)
    assert view(board).real_time_factor == 3.0
    assert view(board).expected_work_s(10.0, clauses=False) == pytest.approx(30.0)


def test_a_new_start_may_be_quicker(board: Board, clock: VirtualClock) -> None:
    board.row("a").measured(first_audio_s=5.0, work_s=12.0, audio_s=4.0)
    clock.advance(STALE_S + 1)
    board.row("a").set_state("down", "its process ended")
    board.row("a").set_state("up")
    assert view(board).real_time_factor is None


async def test_the_view_follows_the_slots(board: Board) -> None:
    slots = Slots(1, 3)
    board.add("a", slots)
    board.row("a").set_state("up")
    assert (view(board).busy, view(board).load) == (0, 0)
    async with slots:
        assert (view(board).busy, view(board).load) == (1, 1)
    assert view(board).busy == 0


def test_a_view_that_nothing_changed_is_not_made_again(board: Board) -> None:
    assert view(board) is view(board)
