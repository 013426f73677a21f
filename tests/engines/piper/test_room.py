from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import pytest

from engines.errors import Unavailable, Unsupported
from engines.piper.room import Room
from tests.virtual import run

Load = Callable[[], Coroutine[Any, Any, str]]


@pytest.fixture
def loads() -> list[str]:
    return []


@pytest.fixture
def loader(loads: list[str]) -> Callable[[str], Load]:
    def of(key: str) -> Load:
        async def load() -> str:
            loads.append(key)
            return key.upper()

        return load

    return of


async def visit(room: Room[str], key: str, load: Load, size: int = 40) -> str:
    async with room.lend(key, size, load) as voice:
        return voice


async def test_who_was_used_longest_ago_makes_room(loader: Callable[[str], Load], loads: list[str]) -> None:
    room: Room[str] = Room(100, 60)
    for key in ("a", "b", "a", "c", "a", "b"):
        assert await visit(room, key, loader(key)) == key.upper()
    assert loads == ["a", "b", "c", "b"]
    assert room.loaded == ("a", "b")
    room.close()


async def test_all_who_want_a_voice_share_one_load(loader: Callable[[str], Load], loads: list[str]) -> None:
    room: Room[str] = Room(100, 60)
    await asyncio.gather(*(visit(room, "a", loader("a")) for _ in range(5)))
    assert loads == ["a"]
    room.close()


async def test_a_voice_in_use_stays_and_whoever_needs_its_room_waits(loader: Callable[[str], Load]) -> None:
    room: Room[str] = Room(50, 60)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(room.lend("a", 40, loader("a")))
        other = asyncio.create_task(visit(room, "b", loader("b")))
        for _ in range(5):
            await asyncio.sleep(0)
        assert room.loaded == ("a",)
        assert not other.done()
    assert await other == "B"
    assert room.loaded == ("b",)
    room.close()


async def test_a_voice_larger_than_the_budget_has_it_alone(loader: Callable[[str], Load]) -> None:
    room: Room[str] = Room(50, 60)
    await visit(room, "a", loader("a"))
    assert await visit(room, "huge", loader("huge"), size=500) == "HUGE"
    assert room.loaded == ("huge",)
    room.close()


def test_an_idle_voice_leaves_by_itself(loader: Callable[[str], Load], loads: list[str]) -> None:
    async def main() -> None:
        room: Room[str] = Room(100, 60)
        async with room.lend("a", 40, loader("a")):
            await asyncio.sleep(100)
            assert room.loaded == ("a",)  # not while it is used
        await asyncio.sleep(59)
        assert room.loaded == ("a",)
        await asyncio.sleep(2)
        assert room.loaded == ()
        await visit(room, "a", loader("a"))
        room.close()

    run(main())
    assert loads == ["a", "a"]


async def test_a_load_that_fails_is_told_and_tried_again() -> None:
    room: Room[str] = Room(100, 60)
    tries: list[int] = []

    async def load() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise Unsupported("broken")
        return "A"

    with pytest.raises(Unsupported, match="broken"):
        await visit(room, "a", load)
    assert await visit(room, "a", load) == "A"
    room.close()


async def test_whoever_waits_when_it_is_closed_hears_of_it(loader: Callable[[str], Load]) -> None:
    room: Room[str] = Room(50, 60)
    async with room.lend("a", 40, loader("a")):
        other = asyncio.create_task(visit(room, "b", loader("b")))
        await asyncio.sleep(0)
        room.close()
        with pytest.raises(Unavailable, match="closed"):
            await other
