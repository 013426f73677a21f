"""The guard ring: what is counted, what is timed, and what is released, whatever the listener does."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import SimpleNamespace

import pytest

from engines.contract import AudioChunk, SpeechRequest
from engines.errors import Busy, DeadlineExceeded, EngineFault, InvalidRequest, Throttled, Unavailable
from engines.slots import Slots
from gateway import guards
from gateway.guards import Allowance, Guarded
from gateway.health.board import Board
from gateway.health.breaker import FAULTS_TO_OPEN, OPEN_S
from gateway.health.line import Visit
from gateway.refusals import OutOfTime
from policies.types import EngineState
from policies.waiting import MAY_BE_LONGER
from tests.engines_at_hand import Scripted, chunk
from tests.virtual import LoopClock, VirtualClock, run

REQUEST = SpeechRequest("hello", "en")


class InLine(Scripted):
    """Has slots that others take too: they are served first, for so many seconds."""

    def __init__(self, others_s: float, *scripts: list[AudioChunk | float | Exception]) -> None:
        super().__init__(*scripts)
        self._others_s = others_s

    async def synthesize_in_turn(
        self, request: SpeechRequest, waits: Callable[[bool], None]
    ) -> AsyncGenerator[AudioChunk, None]:
        waits(True)
        await asyncio.sleep(self._others_s)
        waits(False)
        async with aclosing(self.synthesize(request)) as chunks:
            async for one in chunks:
                yield one


class Ring:
    """One engine behind its guards."""

    def __init__(self, engine: Scripted, slots: int = 1, queue: int = 1, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock()
        self.engine, self.slots = engine, Slots(slots, queue, self.clock.monotonic)
        self.board = Board(self.clock)
        self.row = self.board.add("a", self.slots)
        self.row.set_state("up")

    @property
    def state(self) -> EngineState:
        return self.board.snapshot().engines["a"]

    async def speak(
        self, first_s: float = 5, gap_s: float = 5, left: Allowance | None = None, visit: Visit | None = None
    ) -> list[AudioChunk]:
        guarded = Guarded(self.engine, self.row)
        attempt = guarded.attempt(first_s, gap_s, left or Allowance(math.inf), visit or Visit())
        async with aclosing(attempt.synthesize(REQUEST)) as chunks:
            return [one async for one in chunks]


def test_audio_passes_through_unchanged_and_is_measured() -> None:
    ring = Ring(Scripted([chunk(value=1), chunk(value=2)]))
    assert run(ring.speak()) == [chunk(value=1), chunk(value=2)]
    assert ring.state.first_audio_s is not None
    assert (ring.state.busy, ring.engine.open) == (0, 0)


def test_a_late_first_audio_is_a_deadline_and_a_fault() -> None:
    ring = Ring(Scripted([3.0, chunk()]))
    with pytest.raises(DeadlineExceeded, match="a gave no audio for 2 s"):
        run(ring.speak(first_s=2))
    assert ring.row.breaker.faults == 1
    assert (ring.state.busy, ring.engine.open) == (0, 0)


def test_a_gap_in_the_middle_is_a_deadline() -> None:
    ring = Ring(Scripted([chunk(), 3.0, chunk()]))
    with pytest.raises(DeadlineExceeded):
        run(ring.speak(first_s=9, gap_s=2))


def test_a_slow_listener_is_not_timed() -> None:
    ring = Ring(Scripted([chunk(), 1.0, chunk()]))

    async def listen() -> int:
        left = Allowance(2.0)
        attempt = Guarded(ring.engine, ring.row).attempt(1.5, 1.5, left, Visit())
        heard = 0
        async with aclosing(attempt.synthesize(REQUEST)) as chunks:
            async for _ in chunks:
                heard += 1
                await asyncio.sleep(60)
        assert left.seconds == pytest.approx(1.0, abs=0.01)
        return heard

    assert run(listen()) == 2


def test_a_request_without_time_left_hurts_no_engine() -> None:
    ring = Ring(Scripted([3.0, chunk()]))
    with pytest.raises(OutOfTime):
        run(ring.speak(first_s=9, left=Allowance(0.5)))
    assert ring.row.breaker.faults == 0


def test_a_full_queue_is_busy_at_once_and_a_slow_one_after_its_time() -> None:
    ring = Ring(Scripted([10.0, chunk()]), slots=1, queue=1)

    async def three() -> list[object]:
        return await asyncio.gather(*(ring.speak(first_s=s) for s in (20, 2, 20)), return_exceptions=True)

    spoke, waited, turned_away = run(three())
    assert spoke == [chunk()]
    assert isinstance(waited, Busy)
    assert isinstance(turned_away, Busy)
    assert ring.row.breaker.faults == 0
    assert (ring.state.busy, ring.state.queued) == (0, 0)


def test_waiting_behind_other_gateways_is_busy_however_often_and_never_a_fault() -> None:
    ring = Ring(InLine(60.0, [chunk()]))
    for _ in range(FAULTS_TO_OPEN * 2):
        with pytest.raises(Busy, match="a had no free slot in time"):
            run(ring.speak(first_s=2))
    assert (ring.row.breaker.faults, ring.state.state, ring.state.busy) == (0, "up", 0)


def test_a_hang_after_waiting_behind_other_gateways_is_a_deadline_and_a_fault() -> None:
    ring = Ring(InLine(1.0, [60.0, chunk()]))
    with pytest.raises(DeadlineExceeded):
        run(ring.speak(first_s=2))
    assert ring.row.breaker.faults == 1


def test_what_is_measured_begins_when_the_other_gateways_were_served(monkeypatch: pytest.MonkeyPatch) -> None:
    loops_time = SimpleNamespace(perf_counter=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr(guards, "time", loops_time)
    ring = Ring(InLine(60.0, [1.0, chunk(500), 1.0, chunk(500)]))
    run(ring.speak(first_s=99))
    assert ring.state.first_audio_s == pytest.approx(1.0)
    assert ring.state.real_time_factor == pytest.approx(2.0)


def test_an_engine_that_got_its_turn_late_is_not_blamed() -> None:
    ring = Ring(Scripted([2.0, chunk()]), slots=1, queue=9)

    async def four() -> list[object]:
        return await asyncio.gather(*(ring.speak(first_s=5) for _ in range(4)), return_exceptions=True)

    first, second, third, fourth = run(four())
    assert [first, second] == [[chunk()]] * 2
    assert isinstance(third, Busy)  # its turn came after 4 s, and the engine needs two
    assert isinstance(fourth, Busy)
    assert ring.row.breaker.faults == 0


def test_whom_the_line_would_take_too_long_is_turned_away_at_once() -> None:
    async def story() -> list[object]:
        ring, loop = Ring(Scripted([2.0, chunk()]), slots=1, queue=9, clock=LoopClock()), asyncio.get_running_loop()
        await ring.speak(visit=Visit(4.0))  # half a second for each of audio, it turns out
        waiting = [asyncio.create_task(ring.speak(first_s=60, visit=Visit(4.0))) for _ in range(4)]
        await asyncio.sleep(0.5)
        since = loop.time()
        with pytest.raises(Busy, match="about 8 s before this one") as turned_away:
            await ring.speak(first_s=5, visit=Visit(4.0))
        assert loop.time() == since
        # 7.5 s are before it; in time to come back, what is left fits into its five, with what it may be longer
        assert turned_away.value.retry_after_s == pytest.approx(7.5 - 5 / MAY_BE_LONGER, abs=0.01)
        return await asyncio.gather(*waiting)

    assert run(story()) == [[chunk()]] * 4


def test_the_next_in_line_speaks_when_a_slot_is_free() -> None:
    ring = Ring(Scripted([1.0, chunk()]), slots=1, queue=5)

    async def four() -> list[list[AudioChunk]]:
        return await asyncio.gather(*(ring.speak() for _ in range(4)))

    assert run(four()) == [[chunk()]] * 4


def test_an_unknown_exception_becomes_an_engine_fault_that_does_not_tell_its_text() -> None:
    ring = Ring(Scripted([RuntimeError("http://10.0.0.5/secret")]))
    with pytest.raises(EngineFault, match=r"a failed: RuntimeError$"):
        run(ring.speak())
    assert ring.row.breaker.faults == 1


@pytest.mark.parametrize("error", [InvalidRequest("no"), Busy("full"), Throttled("quota")])
def test_errors_that_are_not_the_engines_fault_open_nothing(error: Exception) -> None:
    ring = Ring(Scripted([error]))
    for _ in range(FAULTS_TO_OPEN * 2):
        with pytest.raises(type(error)):
            run(ring.speak())
    assert ring.row.breaker.open_until_s == 0


def test_a_listener_that_leaves_releases_everything_and_counts_nothing() -> None:
    ring = Ring(Scripted([chunk(), chunk(), 5.0, chunk()]))

    async def leave(after: int) -> None:
        attempt = Guarded(ring.engine, ring.row).attempt(9, 9, Allowance(math.inf), Visit())
        stream = attempt.synthesize(REQUEST)
        for _ in range(after):
            await anext(stream)
        await stream.aclose()

    async def cancelled() -> None:
        task = asyncio.create_task(ring.speak())
        await asyncio.sleep(0.1)
        assert ring.state.busy == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for after in range(3):
        run(leave(after))
        assert (ring.state.busy, ring.engine.open) == (0, 0)
    run(cancelled())
    assert (ring.state.busy, ring.engine.open, ring.row.breaker.faults) == (0, 0, 0)


def test_an_open_breaker_turns_away_before_the_engine_is_asked() -> None:
    ring = Ring(Scripted([EngineFault("broke")]))
    for _ in range(FAULTS_TO_OPEN):
        with pytest.raises(EngineFault):
            run(ring.speak())
    asked = len(ring.engine.requests)
    with pytest.raises(Exception, match="down after 5 faults"):
        run(ring.speak())
    assert len(ring.engine.requests) == asked


def test_a_stream_without_audio_is_a_fault_and_no_measurement() -> None:
    ring = Ring(Scripted([AudioChunk(b"", 8000)]))
    with pytest.raises(EngineFault, match="a ended without audio"):
        run(ring.speak())
    assert ring.row.breaker.faults == 1
    assert ring.state.first_audio_s is None


def test_a_stream_without_an_end_is_broken_off() -> None:
    ring = Ring(Scripted([chunk(10_000)] * 100))
    with pytest.raises(EngineFault, match="a did not end"):
        run(ring.speak())
    assert (ring.state.busy, ring.engine.open, ring.row.breaker.faults) == (0, 0, 1)


def test_a_throttled_probe_lets_the_next_one_try() -> None:
    quota = Throttled("quota", retry_after_s=1)
    ring = Ring(Scripted(*[[EngineFault("broke")]] * FAULTS_TO_OPEN, [quota], [chunk()]))
    for _ in range(FAULTS_TO_OPEN):
        with pytest.raises(EngineFault):
            run(ring.speak())
    ring.clock.advance(OPEN_S)
    with pytest.raises(Throttled):
        run(ring.speak())
    ring.clock.advance(1)
    assert run(ring.speak()) == [chunk()]


def test_many_that_fail_at_once_open_the_breaker_for_no_longer() -> None:
    ring = Ring(Scripted([1.0, EngineFault("broke")]), slots=20)

    async def twenty() -> None:
        await asyncio.gather(*(ring.speak() for _ in range(20)), return_exceptions=True)

    run(twenty())
    assert ring.state.state == "down"
    ring.clock.advance(OPEN_S)
    assert ring.state.state == "up"


def test_a_probe_whose_listener_leaves_is_given_back() -> None:
    ring = Ring(Scripted(*[[EngineFault("broke")]] * FAULTS_TO_OPEN, [chunk()]))
    for _ in range(FAULTS_TO_OPEN):
        with pytest.raises(EngineFault):
            run(ring.speak())
    ring.clock.advance(OPEN_S)

    async def leave() -> None:
        attempt = Guarded(ring.engine, ring.row).attempt(9, 9, Allowance(math.inf), Visit())
        stream = attempt.synthesize(REQUEST)
        await anext(stream)
        await stream.aclose()

    run(leave())
    assert ring.state.state == "up"
    assert run(ring.speak()) == [chunk()]
    assert ring.row.breaker.open_until_s == 0


def test_whoever_watches_the_board_hears_of_waits_and_of_work() -> None:
    heard: list[tuple[object, ...]] = []

    class Watching:
        def waited(self, engine: str, wait_s: float) -> None:
            heard.append(("waited", engine, wait_s))

        def worked(self, engine: str, work_s: float, audio_s: float) -> None:
            heard.append(("worked", engine, pytest.approx(audio_s)))

    ring = Ring(InLine(2.0, [1.0, chunk(500), chunk(500)]), slots=1, queue=1)
    ring.board.watchers.append(Watching())

    async def two() -> None:
        await asyncio.gather(ring.speak(9, 9), ring.speak(9, 9))

    run(two())
    # the second is behind the first in our own line for 3 s, then behind others in the engine's for 2 s
    assert heard == [("waited", "a", 2.0), ("worked", "a", 1.0), ("waited", "a", 5.0), ("worked", "a", 1.0)]


def test_those_behind_one_that_found_the_engine_mute_find_it_out_with_it_and_go_on() -> None:
    ring = Ring(Scripted([math.inf]), slots=1, queue=8)

    async def rush() -> tuple[list[object], float]:
        loop = asyncio.get_running_loop()
        since = loop.time()
        coming = []
        for _ in range(9):  # one in half a second, each with 8 seconds of its own
            coming.append(asyncio.create_task(ring.speak(first_s=8)))
            await asyncio.sleep(0.5)
        return await asyncio.gather(*coming, return_exceptions=True), loop.time() - since

    errors, took_s = run(rush())
    # the sixth had the slot already when the breaker opened; those behind it did not wait any longer
    assert [type(error) for error in errors] == [DeadlineExceeded] * (FAULTS_TO_OPEN + 1) + [Unavailable] * 3
    assert took_s == pytest.approx(8 + 0.5 * FAULTS_TO_OPEN, abs=0.1)
    assert ring.state.state == "down"


def test_a_slow_turn_for_one_with_more_time_does_not_make_an_engine_mute() -> None:
    ring = Ring(Scripted([20.0, chunk()]), slots=1, queue=9)

    async def rush() -> list[object]:
        patient = asyncio.create_task(ring.speak(first_s=30))
        await asyncio.sleep(0)
        hasty = [ring.speak(first_s=5) for _ in range(FAULTS_TO_OPEN + 1)]
        return [*await asyncio.gather(*hasty, return_exceptions=True), await patient]

    *hasty, patient = run(rush())
    assert {type(error) for error in hasty} == {Busy}
    assert patient == [chunk()]
    assert ring.row.breaker.faults == 0


def test_a_sound_from_the_engine_ends_its_silence() -> None:
    ring = Ring(Scripted([math.inf], [1.0, chunk()], [20.0, chunk()]), slots=1, queue=9)

    async def story() -> list[object]:
        return await asyncio.gather(*(ring.speak(first_s=s) for s in (4, 9, 8)), return_exceptions=True)

    mute, spoke, late = run(story())
    assert isinstance(mute, DeadlineExceeded)
    assert spoke == [chunk()]
    assert isinstance(late, Busy)  # at 8 s, after 3 of its own: the engine spoke at 5
    assert ring.row.breaker.faults == 0


class Moving(Scripted):
    """Works in a process that another may replace."""

    pid: int | None = 1


def test_what_a_retiring_process_does_is_not_counted_for_or_against_its_successor() -> None:
    engine = Moving([1.0, EngineFault("broke")])
    ring = Ring(engine, slots=9)

    async def retire() -> None:
        speaking = [asyncio.create_task(ring.speak()) for _ in range(FAULTS_TO_OPEN)]
        await asyncio.sleep(0.5)
        engine.pid = 2
        results = await asyncio.gather(*speaking, return_exceptions=True)
        assert {type(one) for one in results} == {EngineFault}

    run(retire())
    assert ring.row.breaker.faults == 0
    with pytest.raises(EngineFault):
        run(ring.speak())
    assert ring.row.breaker.faults == 1


def test_a_speech_that_is_heard_has_its_time_for_the_first_audio_from_its_turn_on() -> None:
    ring = Ring(Scripted([4.0, chunk()]), slots=1, queue=9)

    async def story(alone: bool) -> list[object]:
        first = [ring.speak(first_s=60) for _ in range(1 if alone else 2)]
        going_on = ring.speak(first_s=5, visit=Visit(begun=True, alone=alone))
        return await asyncio.gather(*first, going_on, return_exceptions=True)

    assert run(story(alone=True))[-1] == [chunk()]  # 4 s of waiting and 4 s of work, with 5 s for each
    assert isinstance(run(story(alone=False))[-1], list)


def test_a_speech_that_nobody_else_could_go_on_with_waits_for_its_turn_as_long_as_it_takes() -> None:
    ring = Ring(Scripted([20.0, chunk()]), slots=1, queue=9)

    async def story(alone: bool) -> object:
        first = asyncio.create_task(ring.speak(first_s=60))
        await asyncio.sleep(0)
        (result,) = await asyncio.gather(
            ring.speak(first_s=25 if alone else 5, visit=Visit(begun=True, alone=alone)), return_exceptions=True
        )
        await first
        return result

    assert run(story(alone=True)) == [chunk()]
    assert isinstance(run(story(alone=False)), Busy)


def test_a_hang_in_a_speech_that_is_heard_is_still_a_deadline() -> None:
    ring = Ring(Scripted([math.inf]))
    with pytest.raises(DeadlineExceeded, match="for 5 s"):
        run(ring.speak(first_s=5, visit=Visit(begun=True, alone=True)))
    assert ring.row.breaker.faults == 1


def test_who_does_not_queue_takes_a_free_slot_or_none() -> None:
    ring = Ring(Scripted([1.0, chunk()]), slots=1, queue=9)

    async def story() -> list[object]:
        hedges = [ring.speak(visit=Visit(queues=False)) for _ in range(2)]
        return await asyncio.gather(*hedges, return_exceptions=True)

    spoke, turned_away = run(story())
    assert spoke == [chunk()]
    assert isinstance(turned_away, Busy)


def test_a_request_whose_whole_time_is_too_short_is_turned_away_at_the_door() -> None:
    async def story() -> None:
        ring = Ring(Scripted([4.0, chunk(8000)]), clock=LoopClock())
        await ring.speak(visit=Visit(8.0))  # half a second for each of audio
        asked = len(ring.engine.requests)
        with pytest.raises(Busy, match="too long for the time"):
            await ring.speak(left=Allowance(9.0), visit=Visit(8.0, later_s=16.0))
        assert len(ring.engine.requests) == asked
        assert await ring.speak(left=Allowance(13.0), visit=Visit(8.0, later_s=16.0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guards, "time", SimpleNamespace(perf_counter=lambda: asyncio.get_running_loop().time()))
        run(story())
