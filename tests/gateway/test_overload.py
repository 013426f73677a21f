"""Ten times as many requests as the engines can speak: who is let in is served in time, all others are told at once."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from gateway import guards
from tests.gateway.crowd import CHAR_S, Crowd, Visitor, Worker
from tests.virtual import run

Text = Sequence[int]  # characters of its clauses


@pytest.fixture(autouse=True)
def work_is_measured_by_the_virtual_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "time", SimpleNamespace(perf_counter=lambda: asyncio.get_running_loop().time()))


def prompts(chance: random.Random) -> Text:
    return [chance.randint(20, 80)]


def paragraphs(chance: random.Random) -> Text:
    return [chance.randint(15, 40), *(chance.randint(40, 120) for _ in range(chance.randint(0, 4)))]


def everything(chance: random.Random) -> Text:
    """Mostly prompts, some paragraphs, now and then a page."""
    page = [chance.randint(15, 30), *(chance.randint(60, 160) for _ in range(chance.randint(5, 20)))]
    return chance.choices([prompts(chance), paragraphs(chance), page], [6, 3, 1])[0]


TEXTS = {"prompts": prompts, "paragraphs": paragraphs, "everything": everything}


class Rush:
    """So many times what the engine can speak, for so many seconds, at random. The engine's speed is known before."""

    def __init__(self, texts: str, pace: float, slots: int, *, streams: bool = True, **terms: object) -> None:
        self.crowd = Crowd({"a": Worker(pace, 1, streams=streams)}, slots, queue=32, terms=terms)
        self._texts, self._chance = TEXTS[texts], random.Random(7)
        work_s = sum(sum(self._texts(self._chance)) for _ in range(500)) / 500 * CHAR_S * pace
        self.capacity = slots / work_s  # requests a second
        self.slots, self.pace = slots, pace
        self.began_s = 0.0

    async def come(self, times: float, seconds: float, *, deadline_ms: int | None = None, obey: int = 0) -> None:
        """`obey`: how often each comes back, after the time that it was told."""
        loop, visits = asyncio.get_running_loop(), list[asyncio.Task[None]]()
        await self.crowd.visit(self._texts(self._chance))
        self.crowd.visitors.clear()
        self.began_s = loop.time()
        while loop.time() < self.began_s + seconds:
            await asyncio.sleep(self._chance.expovariate(self.capacity * times))
            visits.append(asyncio.create_task(self._visit(self._texts(self._chance), deadline_ms, obey)))
        await asyncio.gather(*visits)

    async def _visit(self, text: Text, deadline_ms: int | None, obey: int) -> None:
        visitor = await self.crowd.visit(text, deadline_ms)
        for _ in range(obey):
            if visitor.error is None:
                return
            assert visitor.error.retry_after_s is not None
            await asyncio.sleep(max(1, math.ceil(visitor.error.retry_after_s)))
            visitor.again = await self.crowd.visit(text, deadline_ms)
            visitor = visitor.again

    @property
    def let_in(self) -> list[Visitor]:
        return [one for one in self.crowd.visitors if not one.at_once]

    @property
    def turned_away(self) -> list[Visitor]:
        return [one for one in self.crowd.visitors if one.at_once]

    def in_time(self) -> float:
        """Of those who were let in, the part that was served within its deadlines."""
        return sum(one.in_time for one in self.let_in) / len(self.let_in)

    def goodput(self, seconds: float) -> float:
        """Work for those who were served in time, of what the engine could have done in so many seconds."""
        audio_s = sum(one.audio_s for one in self.let_in if one.in_time)
        return audio_s * self.pace / (self.slots * seconds)


@pytest.mark.parametrize("deadline_ms", [None, 12_000])
@pytest.mark.parametrize(
    ("texts", "pace", "slots", "streams"),
    [("prompts", 0.1, 1, True), ("paragraphs", 0.1, 2, False), ("everything", 0.05, 4, True)],
)
def test_who_is_let_in_is_served_in_time_and_the_rest_is_told_at_once(
    texts: str, pace: float, slots: int, streams: bool, deadline_ms: int | None
) -> None:
    async def rush() -> Rush:
        rush = Rush(texts, pace, slots, streams=streams, total_ms=0)
        await rush.come(times=10, seconds=60, deadline_ms=deadline_ms)
        return rush

    found = run(rush())
    assert len(found.let_in) > 100
    assert len(found.turned_away) > 5 * len(found.let_in)
    assert found.in_time() >= 0.99
    assert found.goodput(60) >= 0.9
    assert found.crowd.most_open <= slots + 32 + 2
    for one in found.turned_away:
        assert one.error is not None
        assert (one.error.status, one.error.code) in [(503, "busy"), (503, "too_slow")]
        # the one who is not told when to return would be too late in an empty house, too
        assert (one.error.retry_after_s is None) == (one.error.code == "too_slow")


def test_an_engine_of_unknown_speed_disappoints_few() -> None:
    async def rush() -> list[Visitor]:
        crowd, chance = Crowd({"a": Worker(0.3, 3)}, slots=1, queue=32), random.Random(3)
        visits = []
        for _ in range(600):  # ten times what it can do
            await asyncio.sleep(chance.expovariate(10))
            visits.append(asyncio.create_task(crowd.visit(prompts(chance))))
        return await asyncio.gather(*visits)

    let_in = [one for one in run(rush()) if not one.at_once]
    assert sum(one.in_time for one in let_in) / len(let_in) >= 0.95


def test_who_obeys_and_comes_back_finds_room() -> None:
    async def rush() -> Rush:
        rush = Rush("prompts", 0.15, 1)
        await rush.come(times=10, seconds=5, obey=3)
        return rush

    found = run(rush())
    came_back = [one.again for one in found.crowd.visitors if one.again is not None]
    once_it_was_over = [one for one in came_back if one.came_s > found.began_s + 5]
    assert len(once_it_was_over) > 50
    assert sum(one.error is None for one in once_it_was_over) / len(once_it_was_over) >= 0.75
    served = sum(one.error is None for one in found.crowd.visitors)
    assert served / (len(found.crowd.visitors) - len(came_back)) >= 0.95


def test_a_crowd_that_has_gone_leaves_nothing_behind() -> None:
    async def rush() -> None:
        rush = Rush("paragraphs", 0.1, 2)
        await rush.come(times=10, seconds=20)
        row = rush.crowd.guarded["a"].row
        assert (row.slots.busy, row.slots.queued, row.wait_s) == (0, 0, 0.0)
        assert (await rush.crowd.visit([40])).error is None

    run(rush())
