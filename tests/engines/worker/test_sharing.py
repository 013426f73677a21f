"""A worker that several gateways share: who waits there, what he is told, and what his own gateway makes of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import SimpleNamespace

import pytest

from engines.contract import AudioChunk, EngineInfo, SpeechRequest
from engines.errors import Busy, DeadlineExceeded
from engines.slots import Slots
from engines.worker.client import WorkerEngine
from gateway import guards
from gateway.guards import Allowance, Guarded
from gateway.health.board import Board
from gateway.health.line import Visit
from tests.engines.worker.workplace import Workplace, eventually, request_of, say
from tests.virtual import VirtualClock


class Told(WorkerEngine):
    """Remembers what it was told about waiting."""

    def __init__(self, place: Workplace) -> None:
        super().__init__(place.spec(slots=1), EngineInfo(), place.lost.append)
        place.engines.append(self)
        self.told: list[bool] = []

    def synthesize_in_turn(
        self, request: SpeechRequest, waits: Callable[[bool], None]
    ) -> AsyncGenerator[AudioChunk, None]:
        def tell(now: bool) -> None:
            self.told.append(now)
            waits(now)

        return super().synthesize_in_turn(request, tell)


class Gateway:
    """One gateway's guards around its side of the worker: a slot, nobody in line, and a board of its own."""

    def __init__(self, place: Workplace) -> None:
        self.engine, self.board, self.slots = Told(place), Board(VirtualClock()), Slots(1)
        self.row = self.board.add("drill", self.slots)
        self.row.set_state("up")

    @property
    def faults(self) -> int:
        return self.row.breaker.faults

    async def speak(self, text: str, first_audio_s: float = 30.0, *, begun: bool = False) -> int:
        """How many chunks there were."""
        guarded = Guarded(self.engine, self.row)
        attempt = guarded.attempt(first_audio_s, 30.0, Allowance(math.inf), Visit(begun=begun))
        async with aclosing(attempt.synthesize(request_of(text))) as chunks:
            return len([chunk async for chunk in chunks])


async def gateways(place: Workplace, count: int) -> list[Gateway]:
    found = [Gateway(place) for _ in range(count)]
    await asyncio.gather(*(one.engine.start() for one in found))
    assert len({one.engine.pid for one in found}) == 1
    return found


async def test_as_many_speak_as_there_are_slots_and_all_others_wait(place: Workplace) -> None:
    engine = await place.started(slots=2)
    speaking = [asyncio.create_task(say(engine, f"until go{n}")) for n in range(2)]
    await eventually(lambda: len(place.journal()) == 2)
    told: list[bool] = []

    async def wait() -> int:
        return len([chunk async for chunk in engine.synthesize_in_turn(request_of("say 3"), told.append)])

    waiting = [asyncio.create_task(wait()) for _ in range(40)]
    await eventually(lambda: told == [True] * 40)
    assert len(place.journal()) == 2
    place.touch("go0")
    assert await asyncio.gather(*waiting) == [3] * 40
    assert sorted(told) == [False] * 40 + [True] * 40
    place.touch("go1")
    await asyncio.gather(*speaking)


async def test_who_need_not_wait_is_told_nothing(place: Workplace) -> None:
    (gateway,) = await gateways(place, 1)
    assert [await gateway.speak(f"say {n}") for n in (1, 2)] == [1, 2]
    assert gateway.engine.told == []


async def test_a_wait_behind_another_gateway_is_busy_and_no_fault(place: Workplace) -> None:
    (gateway,) = await gateways(place, 1)
    other = place.gateway(slots=1)
    assert other.stdin
    assert other.stdout
    assert await asyncio.to_thread(other.stdout.readline) == f"attached {gateway.engine.pid}\n"
    other.stdin.write("until go\n")
    other.stdin.flush()
    await eventually(place.journal)
    with pytest.raises(Busy, match="drill had no free slot in time"):
        await gateway.speak("say 7", first_audio_s=1.0)
    assert gateway.engine.told == [True]
    place.touch("go")
    assert await asyncio.to_thread(other.stdout.readline) == "spoken 2\n"
    assert await gateway.speak("say 1") == 1
    assert gateway.faults == 0
    assert "begin say 7" not in place.journal()


async def test_a_wait_behind_another_gateway_is_not_measured(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = await gateways(place, 2)
    holding = asyncio.create_task(first.speak("until go"))
    await eventually(place.journal)
    now_s = [0.0]
    monkeypatch.setattr(guards, "time", SimpleNamespace(perf_counter=lambda: now_s[0]))
    waiting = asyncio.create_task(second.speak("say 3"))
    await eventually(lambda: second.engine.told == [True])
    now_s[0] = 100.0
    place.touch("go")
    assert await asyncio.gather(holding, waiting) == [2, 3]
    state = second.board.snapshot().engines["drill"]
    assert (state.first_audio_s, state.real_time_factor) == (0.0, 0.0)


async def test_a_hang_in_a_slot_that_was_waited_for_is_a_deadline_and_a_fault(place: Workplace) -> None:
    first, second = await gateways(place, 2)
    holding = asyncio.create_task(first.speak("until go"))
    await eventually(place.journal)
    hanging = asyncio.create_task(second.speak("mute", first_audio_s=3.0))
    await eventually(lambda: second.engine.told == [True])
    place.touch("go")
    with pytest.raises(DeadlineExceeded):
        await hanging
    assert second.engine.told == [True, False]
    assert (second.faults, first.faults) == (1, 0)
    await holding


async def test_a_speech_that_has_begun_is_never_turned_away_by_the_worker(place: Workplace) -> None:
    first, *others = await gateways(place, 4)
    holding = asyncio.create_task(first.speak("until go"))
    await eventually(place.journal)
    going_on = [asyncio.create_task(other.speak("say 2", begun=True)) for other in others]
    await eventually(lambda: all(other.engine.told == [True] for other in others))
    place.touch("go")
    assert await asyncio.gather(holding, *going_on) == [2, 2, 2, 2]
    assert [one.faults for one in (first, *others)] == [0] * 4


async def test_one_who_leaves_the_line_or_a_slot_makes_room_for_the_next(place: Workplace) -> None:
    first, second, third = await gateways(place, 3)
    holding = asyncio.create_task(first.speak("mute"))
    await eventually(place.journal)
    leaving = asyncio.create_task(second.speak("say 7"))
    await eventually(lambda: second.engine.told == [True])
    staying = asyncio.create_task(third.speak("say 2"))
    await eventually(lambda: third.engine.told == [True])
    for task in (leaving, holding):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await staying == 2
    assert "begin say 7" not in place.journal()


async def test_an_engine_that_keeps_the_slot_of_one_who_left_is_at_fault(place: Workplace) -> None:
    first, second = await gateways(place, 2)
    leaving = asyncio.create_task(first.speak("cling go"))
    await eventually(place.journal)
    waiting = asyncio.create_task(second.speak("say 2"))
    await eventually(lambda: second.engine.told == [True])
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await first.engine.check()  # the worker has heard of it
    with pytest.raises(DeadlineExceeded):
        await first.speak("say 7", first_audio_s=0.5)
    assert (first.engine.told, first.faults) == ([], 1)
    place.touch("go")
    assert await waiting == 2


async def test_who_comes_while_a_slot_is_deserted_hears_that_others_are_served_first(place: Workplace) -> None:
    first, second = await gateways(place, 2)
    leaving = asyncio.create_task(first.speak("cling go"))
    await eventually(place.journal)
    waiting = asyncio.create_task(second.speak("until later"))
    await eventually(lambda: second.engine.told == [True])
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await first.engine.check()  # the worker has heard of it
    late = asyncio.create_task(first.speak("say 2"))
    await asyncio.sleep(0)
    await first.engine.check()  # and has let this one into its line
    assert first.engine.told == []
    place.touch("go")
    await eventually(lambda: first.engine.told == [True])
    place.touch("later")
    await waiting
    assert await late == 2
    assert (first.engine.told, first.faults) == ([True, False], 0)
