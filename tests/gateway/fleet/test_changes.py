"""The fleet while it speaks: engines come, change and go, and nobody who speaks with one notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.contract import EngineKind, Instance, Missing, Options
from engines.errors import Unavailable
from gateway.configuration.engines import EngineEntry
from gateway.fleet.fleet import Changes, Fleet
from gateway.fleet.keeper import MISSING_EVERY_S
from gateway.fleet.member import Member
from gateway.health.board import Board
from tests.engines_at_hand import Scripted
from tests.virtual import VirtualClock, run


class Tuned(Options):
    """What tells one instance from another."""

    tune: int = 1


class Instrument(Scripted):
    """An engine that takes its time to start, or cannot."""

    def __init__(self, tune: int, start_s: float, broken: set[int]) -> None:
        super().__init__()
        self.tune, self._start_s, self._broken = tune, start_s, broken
        self.started = self.closed = False

    async def start(self) -> None:
        await asyncio.sleep(self._start_s)
        if self.tune in self._broken:
            raise Unavailable(f"tune {self.tune} cannot be played")
        self.started = True

    async def close(self) -> None:
        self.closed = True


class Orchestra:
    """A fleet of instruments on a virtual loop; each takes a second to start."""

    def __init__(self) -> None:
        self.broken: set[int] = set()
        self.missing: set[int] = set()
        self.made: list[Instrument] = []
        self.successions = 0
        self.kind = EngineKind("any", Tuned, self._create, "", "", missing=self._missing, isolation="inline")
        self.board = Board(VirtualClock())

    def _create(self, instance: Instance, options: Tuned) -> Instrument:
        self.made.append(Instrument(options.tune, 1.0, self.broken))
        return self.made[-1]

    def _missing(self, instance: Instance, options: Tuned) -> Missing | None:
        return Missing("not_installed", "fetch it") if options.tune in self.missing else None

    def entry(self, name: str = "a", tune: int = 1, **fields: Any) -> EngineEntry:
        return EngineEntry(name, self.kind, Tuned(tune=tune), **fields)

    def apply(self, *entries: EngineEntry) -> Changes:
        return self.fleet.apply({entry.name: entry for entry in entries})

    def state(self, name: str = "a") -> str:
        return self.board.snapshot().engines[name].state

    def speaking(self, name: str = "a") -> Instrument:
        engine = self.fleet.members[name].guarded.engine
        assert isinstance(engine, Instrument)
        return engine

    def visit(self, name: str = "a") -> Member:
        """What a request does with an engine of its era."""
        member = self.fleet.members[name]
        member.users += 1
        return member

    def during(self, story: Callable[[], Any], *entries: EngineEntry) -> None:
        async def whole() -> None:
            self.fleet = Fleet({entry.name: entry for entry in entries}, {}, Path(), self.board)
            self.fleet.on_succession = self._succeeded
            await self.fleet.start()
            await self.fleet.settled()
            try:
                await story()
            finally:
                await self.fleet.aclose()

        run(whole())
        assert all(one.closed for one in self.made if one.started)

    def _succeeded(self) -> None:
        self.successions += 1


def test_what_stays_the_same_runs_on_untouched() -> None:
    yard = Orchestra()

    async def story() -> None:
        member = yard.fleet.members["a"]
        assert yard.apply(yard.entry()) == Changes()
        assert yard.fleet.members["a"] is member
        assert len(yard.made) == 1

    yard.during(story, yard.entry())


def test_an_added_engine_is_started() -> None:
    yard = Orchestra()

    async def story() -> None:
        assert yard.apply(yard.entry(), yard.entry("b")) == Changes(added=("b",))
        assert yard.state("b") == "starting"
        await asyncio.sleep(1.1)
        assert yard.state("b") == "up"

    yard.during(story, yard.entry())


def test_a_removed_engine_leaves_rotation_at_once_and_is_closed_when_the_last_request_has_ended() -> None:
    yard = Orchestra()

    async def story() -> None:
        first, second = yard.visit(), yard.visit()
        engine = yard.speaking()
        assert yard.apply(yard.entry("b")) == Changes(added=("b",), removed=("a",))
        assert list(yard.board.snapshot().engines) == list(yard.fleet.members) == ["b"]
        first.let_go()
        await asyncio.sleep(60)
        assert not engine.closed
        assert second.state.state == "up"  # it is kept alive for whoever still speaks with it
        second.let_go()
        await asyncio.sleep(0.1)
        assert engine.closed

    yard.during(story, yard.entry())


def test_a_disabled_engine_is_removed_and_an_enabled_one_added() -> None:
    yard = Orchestra()

    async def story() -> None:
        assert yard.apply(yard.entry(enabled=False), yard.entry("b")).removed == ("a",)
        assert yard.apply(yard.entry(), yard.entry("b")).added == ("a",)
        await asyncio.sleep(1.1)
        assert yard.state("a") == "up"
        assert yard.made[0].closed

    yard.during(story, yard.entry(), yard.entry("b", enabled=False))


def test_a_changed_engine_is_replaced_once_its_successor_is_up() -> None:
    yard = Orchestra()

    async def story() -> None:
        visitor = yard.visit()
        assert yard.apply(yard.entry(tune=2)) == Changes(replaced=("a",))
        assert (yard.speaking().tune, yard.state(), yard.successions) == (1, "up", 0)
        assert yard.fleet.successors()["a"].state == "starting"
        await asyncio.sleep(1.1)
        assert (yard.speaking().tune, yard.state(), yard.successions) == (2, "up", 1)
        assert yard.fleet.successors() == {}
        assert not yard.made[0].closed
        visitor.let_go()
        await asyncio.sleep(0.1)
        assert yard.made[0].closed

    yard.during(story, yard.entry())


def test_the_row_of_a_replaced_engine_is_a_new_one_in_the_same_place() -> None:
    yard = Orchestra()

    async def story() -> None:
        visitor = yard.visit()
        visitor.row.measured(first_audio_s=1.0, work_s=2.0, audio_s=1.0)
        yard.apply(yard.entry(tune=2), yard.entry("b"))
        await asyncio.sleep(1.1)
        assert list(yard.board.snapshot().engines) == ["a", "b"]
        assert yard.board.snapshot().engines["a"].first_audio_s is None
        visitor.row.measured(first_audio_s=1.0, work_s=2.0, audio_s=1.0)  # what still speaks is the old one's
        for _ in range(9):
            visitor.row.failed(Unavailable("it is gone"))
        assert yard.board.snapshot().engines["a"].first_audio_s is None
        assert yard.state("a") == "up"

    yard.during(story, yard.entry(), yard.entry("b"))


def test_while_the_successor_cannot_start_the_old_engine_goes_on() -> None:
    yard = Orchestra()
    yard.broken.add(2)

    async def story() -> None:
        yard.apply(yard.entry(tune=2))
        await asyncio.sleep(30)
        assert (yard.speaking().tune, yard.state()) == (1, "up")
        waiting = yard.fleet.successors()["a"]
        assert (waiting.state, waiting.reason) == ("down", "tune 2 cannot be played")
        yard.broken.clear()
        await asyncio.sleep(90)
        assert yard.speaking().tune == 2

    yard.during(story, yard.entry())


def test_a_successor_that_is_not_installed_is_waited_for() -> None:
    yard = Orchestra()
    yard.missing.add(2)

    async def story() -> None:
        yard.apply(yard.entry(tune=2))
        await asyncio.sleep(1)
        assert yard.speaking().tune == 1
        waiting = yard.fleet.successors()["a"]
        assert (waiting.state, waiting.reason) == ("not_installed", "fetch it")
        yard.missing.clear()
        await asyncio.sleep(MISSING_EVERY_S + 2)
        assert yard.speaking().tune == 2

    yard.during(story, yard.entry())


def test_an_engine_that_does_not_speak_is_replaced_at_once() -> None:
    yard = Orchestra()
    yard.broken.add(1)

    async def story() -> None:
        assert yard.state() == "down"
        yard.apply(yard.entry(tune=2))
        assert (yard.state(), yard.fleet.successors()) == ("starting", {})
        await asyncio.sleep(1.1)
        assert (yard.speaking().tune, yard.state()) == (2, "up")

    yard.during(story, yard.entry())


def test_a_change_that_is_taken_back_leaves_the_old_engine() -> None:
    yard = Orchestra()

    async def story() -> None:
        yard.apply(yard.entry(tune=2))
        await asyncio.sleep(0.5)
        yard.apply(yard.entry())
        await asyncio.sleep(60)
        assert (yard.speaking().tune, yard.fleet.successors(), yard.successions) == (1, {}, 0)

    yard.during(story, yard.entry())


def test_the_last_of_several_changes_counts() -> None:
    yard = Orchestra()

    async def story() -> None:
        for tune in (2, 3, 4):
            yard.apply(yard.entry(tune=tune))
            await asyncio.sleep(0.3)
        await asyncio.sleep(1)
        assert yard.speaking().tune == 4
        assert [one.started for one in yard.made] == [True, False, False, True]

    yard.during(story, yard.entry())


def test_costs_and_queues_change_in_place() -> None:
    yard = Orchestra()

    async def story() -> None:
        member = yard.fleet.members["a"]
        assert yard.apply(yard.entry(queue=2, cost_per_1k_chars=3.0)) == Changes(adjusted=("a",))
        state = yard.board.snapshot().engines["a"]
        assert (state.queue, state.cost_per_1k_chars) == (2, 3.0)
        assert yard.fleet.members["a"] is member
        assert yard.apply(yard.entry(queue=2, cost_per_1k_chars=3.0)) == Changes()

    yard.during(story, yard.entry())


def test_slots_need_another_instance() -> None:
    yard = Orchestra()

    async def story() -> None:
        assert yard.apply(yard.entry(slots=3)) == Changes(replaced=("a",))
        await asyncio.sleep(1.1)
        assert yard.board.snapshot().engines["a"].slots == 3

    yard.during(story, yard.entry())


def test_whoever_does_not_end_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    yard = Orchestra()
    monkeypatch.setattr("gateway.fleet.fleet.DRAIN_WITHIN_S", 600.0)

    async def story() -> None:
        yard.visit()
        yard.apply(yard.entry("b"))
        await asyncio.sleep(590)
        assert not yard.made[0].closed
        await asyncio.sleep(20)
        assert yard.made[0].closed

    yard.during(story, yard.entry())


def test_what_still_drains_at_the_end_is_closed_too() -> None:
    yard = Orchestra()

    async def story() -> None:
        yard.visit()
        yard.apply(yard.entry("b"), yard.entry("c", tune=2))
        yard.apply(yard.entry("b", tune=3), yard.entry("c", tune=2))

    yard.during(story, yard.entry())
