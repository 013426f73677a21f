"""The fleet: engines are started, watched and started again; one that cannot be is a state, never a dead gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engines.contract import EngineInfo, EngineKind, Instance, Missing, Options, Voice
from engines.errors import Unavailable
from gateway.configuration.engines import EngineEntry
from gateway.fleet.fleet import Fleet
from gateway.fleet.keeper import CHECK_EVERY_S, LONGEST_BACK_OFF_S, MISSING_EVERY_S
from gateway.fleet.member import somebody_returns
from gateway.health.board import Board
from policies.types import EngineState
from tests.engines_at_hand import Scripted, info
from tests.virtual import VirtualClock, run


class Fickle(Scripted):
    """Fails its first starts, and its checks while `ill`."""

    def __init__(self, failures: int = 0, start_s: float = 0.0, error: Exception | None = None) -> None:
        super().__init__()
        self.failures, self.start_s, self.error = failures, start_s, error or Unavailable("no luck")
        self.starts = 0
        self.ill = False
        self.closed = False

    async def start(self) -> None:
        self.starts += 1
        await asyncio.sleep(self.start_s)
        if self.starts <= self.failures:
            raise self.error

    async def check(self) -> None:
        if self.ill:
            raise Unavailable("feels ill")

    async def close(self) -> None:
        self.closed = True


class Yard:
    """A fleet of engines given by name, on a virtual loop."""

    def __init__(self, engines: Mapping[str, Any], missing: Callable[..., Missing | None] | None = None) -> None:
        def create(instance: Instance, _: Options) -> Any:
            engine = engines[instance.name]
            if isinstance(engine, Exception):
                raise engine
            return engine

        kind = EngineKind("any", Options, create, "", "", missing=missing, isolation="inline")
        entries = {name: EngineEntry(name, kind, Options(), start_timeout_s=20) for name in engines}
        self.board = Board(VirtualClock())
        self.fleet = Fleet(entries, {}, Path(), self.board)

    def state(self, name: str = "a") -> EngineState:
        return self.board.snapshot().engines[name]

    async def returns(self, *names: str, within_s: float) -> bool:
        return await somebody_returns([self.fleet.members[name] for name in names], within_s)

    def during(self, story: Callable[[], Any]) -> None:
        """Run a story between the fleet's start and its end."""

        async def whole() -> None:
            await self.fleet.start()
            try:
                await story()
            finally:
                await self.fleet.aclose()

        run(whole())


def test_an_engine_that_starts_is_up_and_closed_at_the_end() -> None:
    engine = Fickle()
    yard = Yard({"a": engine})

    async def story() -> None:
        assert yard.state().state == "up"

    yard.during(story)
    assert engine.closed


def test_one_engine_that_cannot_start_keeps_nobody_from_speaking() -> None:
    yard = Yard({"a": Fickle(failures=99, error=Unavailable("no model: fetch it")), "b": Fickle()})

    async def story() -> None:
        await yard.fleet.settled()
        assert (yard.state("a").state, yard.state("a").reason) == ("down", "no model: fetch it")
        assert yard.state("b").state == "up"

    yard.during(story)


def test_who_waits_for_a_start_is_told_when_it_has_failed_too_often() -> None:
    yard = Yard({"a": Fickle(failures=99, error=Unavailable("nobody listens"))})

    async def story() -> None:
        await yard.fleet.settled()
        began_s = asyncio.get_running_loop().time()
        assert await yard.returns("a", within_s=30) is False
        assert asyncio.get_running_loop().time() - began_s < 3

    yard.during(story)


def test_a_start_that_failed_is_tried_again_with_a_growing_pause() -> None:
    engine = Fickle(failures=4)
    yard = Yard({"a": engine})

    async def story() -> None:
        starts = []
        for _ in range(5):
            await asyncio.sleep(0.4)
            starts.append(engine.starts)
        assert starts == [1, 2, 2, 3, 3]  # again after 0.5 s, then after another 1 s
        await asyncio.sleep(10)
        assert yard.state().state == "up"

    yard.during(story)


def test_the_gateway_waits_for_the_first_engine_not_for_the_last() -> None:
    slow = Fickle(start_s=15)
    yard = Yard({"slow": slow, "quick": Fickle(start_s=1)})

    async def story() -> None:
        assert (yard.state("quick").state, yard.state("slow").state) == ("up", "starting")
        await yard.fleet.settled()
        assert yard.state("slow").state == "up"

    yard.during(story)


def test_a_start_that_takes_too_long_is_given_up_with_advice() -> None:
    yard = Yard({"a": Fickle(start_s=1000)})

    async def story() -> None:
        await yard.fleet.settled()
        assert yard.state().state == "down"
        assert "start_timeout_s" in yard.state().reason

    yard.during(story)


def test_an_engine_whose_check_fails_is_started_again() -> None:
    engine = Fickle()
    yard = Yard({"a": engine})

    async def story() -> None:
        engine.ill = True
        await asyncio.sleep(CHECK_EVERY_S + 0.1)
        assert (yard.state().state, yard.state().reason) == ("down", "feels ill")
        engine.ill = False
        await asyncio.sleep(1)
        assert yard.state().state == "up"
        assert engine.starts == 2

    yard.during(story)


def test_a_lost_engine_is_noticed_at_once() -> None:
    engine = Fickle()
    yard = Yard({"a": engine})

    async def story() -> None:
        engine.failures = 99
        yard.fleet.members["a"].lost.set()
        await asyncio.sleep(0.6)
        assert yard.state().state == "down"
        engine.failures = 0
        await asyncio.sleep(5)
        assert yard.state().state == "up"

    yard.during(story)


def test_an_engine_on_its_way_back_can_be_waited_for() -> None:
    engine = Fickle()
    yard = Yard({"a": engine, "b": Fickle(failures=99)})

    async def story() -> None:
        await yard.fleet.settled()
        engine.start_s = 0.3
        yard.fleet.members["a"].lost.set()
        await asyncio.sleep(0.1)
        assert yard.state().state == "down"
        assert await yard.returns("a", within_s=0.2) is False  # too late
        assert await yard.returns("a", within_s=8) is True
        assert yard.state().state == "up"
        await asyncio.sleep(30)  # b has long pauses by now
        assert await yard.returns("b", within_s=8) is False
        assert await yard.returns(within_s=8) is False

    yard.during(story)


def test_no_more_wait_for_a_return_than_will_find_a_place() -> None:
    yard = Yard({"a": Fickle()})
    member = yard.fleet.members["a"]
    places = member.row.slots.limit + member.row.slots.queue

    async def story() -> None:
        loop = asyncio.get_running_loop()
        waiting = [asyncio.create_task(yard.returns("a", within_s=8)) for _ in range(places)]
        await asyncio.sleep(0)
        since_s = loop.time()
        assert await yard.returns("a", within_s=8) is False
        assert loop.time() == since_s
        waiting.pop().cancel()
        await asyncio.sleep(0)
        waiting.append(asyncio.create_task(yard.returns("a", within_s=8)))
        await asyncio.sleep(0)
        member.up.set()
        assert await asyncio.gather(*waiting) == [True] * places
        assert member.awaiting == 0

    run(story())


def test_what_is_not_installed_is_a_state_and_is_taken_up_once_it_is() -> None:
    missing: list[Missing] = [Missing("not_installed", "voxgate models pull it")]
    engine = Fickle()
    yard = Yard({"a": engine}, missing=lambda *_: missing[0] if missing else None)

    async def story() -> None:
        assert (yard.state().state, yard.state().reason) == ("not_installed", "voxgate models pull it")
        assert engine.starts == 0
        missing.clear()
        await asyncio.sleep(MISSING_EVERY_S + 1)
        assert yard.state().state == "up"

    yard.during(story)


def test_an_engine_whose_last_voice_is_removed_says_how_to_make_one_and_speaks_as_soon_as_it_has_one() -> None:
    engine, missing = Fickle(), Missing("not_configured", "make a voice")
    with_voices = EngineInfo(voices=(Voice("mine", ("zh",), 24000),), any_language=True, cloning=True)
    engine.info = with_voices
    yard = Yard({"a": engine}, missing=lambda *_: None if engine.info.voices else missing)

    async def story() -> None:
        assert yard.state().state == "up"
        engine.info = replace(with_voices, voices=())
        await asyncio.sleep(CHECK_EVERY_S + 0.1)
        assert (yard.state().state, yard.state().reason) == ("not_configured", "make a voice")
        engine.info = with_voices
        await asyncio.sleep(CHECK_EVERY_S + 0.1)
        assert (yard.state().state, yard.state().reason) == ("up", "")

    yard.during(story)
    assert engine.starts == 1


def test_a_kind_that_cannot_tell_what_is_missing_leaves_that_to_the_start() -> None:
    def missing(*_: object) -> Missing | None:
        raise OSError("no such folder")

    yard = Yard({"a": Fickle(failures=1), "b": Fickle()}, missing)

    async def story() -> None:
        await yard.fleet.settled()
        assert yard.state("a").reason == "no luck"
        assert yard.state("b").state == "up"

    yard.during(story)


def test_an_engine_that_says_it_has_no_slots_has_one() -> None:
    engine = Fickle()
    engine.info = EngineInfo(slots=0)
    yard = Yard({"a": engine})

    async def story() -> None:
        assert (yard.state().state, yard.state().slots) == ("up", 1)

    yard.during(story)


def test_an_engine_that_still_feels_ill_after_its_start_is_not_up() -> None:
    engine = Fickle()
    engine.ill = True
    yard = Yard({"a": engine})

    async def story() -> None:
        states = set()
        for _ in range(100):
            states.add(yard.state().state)
            await asyncio.sleep(1)
        assert states == {"down"}
        engine.ill = False
        await asyncio.sleep(LONGEST_BACK_OFF_S)
        assert yard.state().state == "up"

    yard.during(story)


def test_an_engine_that_cannot_even_be_made_is_reported() -> None:
    yard = Yard({"a": ValueError("nonsense in its options"), "b": Fickle()})

    async def story() -> None:
        await yard.fleet.settled()
        assert yard.state("a").state == "down"
        assert "nonsense in its options" in yard.state("a").reason
        assert yard.state("b").state == "up"

    yard.during(story)


def test_an_unexpected_exception_at_start_is_reported() -> None:
    yard = Yard({"a": Fickle(failures=99, error=RuntimeError("a bug"))})

    async def story() -> None:
        assert yard.state().reason == "failed to start: RuntimeError: a bug"

    yard.during(story)


def test_no_address_in_an_unexpected_exception_reaches_the_board() -> None:
    error = ConnectionError("no answer from http://10.0.0.5:8000/v1?key=secret, gave up")
    yard = Yard({"a": Fickle(failures=99, error=error)})

    async def story() -> None:
        assert yard.state().reason == "failed to start: ConnectionError: no answer from (an address) gave up"

    yard.during(story)


def test_what_an_engine_learns_at_its_start_is_on_the_board() -> None:
    class Learning(Fickle):
        async def start(self) -> None:
            self.info = info("zh", slots=3)

    yard = Yard({"a": Learning()})

    async def story() -> None:
        known = yard.state().info
        assert known is not None
        assert known.speaks("zh")
        assert yard.state().slots == 3

    yard.during(story)
