"""Hedging: who is heard, and that nothing of the others is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from gateway.hedge import hedged
from tests.virtual import run


class Stream:
    """Plays numbers (seconds to wait), words (given) and exceptions (raised); knows whether it is open."""

    def __init__(self, *script: float | str | Exception) -> None:
        self._script = script
        self.began_s: float | None = None
        self.open = False

    async def play(self) -> AsyncGenerator[str, None]:
        self.began_s, self.open = asyncio.get_running_loop().time(), True
        try:
            for act in self._script:
                if isinstance(act, Exception):
                    raise act
                if isinstance(act, str):
                    yield act
                else:
                    await asyncio.sleep(act)
        finally:
            self.open = False


async def heard(*streams: Stream, after_s: float = 1.0) -> list[str]:
    async with aclosing(hedged((one.play() for one in streams), after_s)) as words:
        return [word async for word in words]


def test_a_first_stream_that_is_in_time_is_alone() -> None:
    first, second = Stream(0.5, "a", 5.0, "a"), Stream("b")
    assert run(heard(first, second)) == ["a", "a"]
    assert second.began_s is None


def test_the_second_begins_beside_a_silent_first_and_is_heard_to_its_end() -> None:
    first, second = Stream(5.0, "a"), Stream(1.0, "b", 9.0, "b")
    assert run(heard(first, second)) == ["b", "b"]
    assert (second.began_s or 0) - (first.began_s or 0) == pytest.approx(1.0)
    assert not first.open


def test_the_first_may_still_win() -> None:
    first, second = Stream(1.5, "a", "a"), Stream(9.0, "b")
    assert run(heard(first, second)) == ["a", "a"]
    assert second.began_s is not None
    assert not second.open


def test_a_second_that_is_turned_away_leaves_the_race_to_the_first_and_the_third() -> None:
    first, second, third = Stream(4.0, "a"), Stream(ValueError("full")), Stream(0.5, "c")
    assert run(heard(first, second, third)) == ["c"]
    assert (third.began_s or 0) - (first.began_s or 0) == pytest.approx(2.0)


def test_a_first_that_fails_leaves_the_second_alone() -> None:
    assert run(heard(Stream(1.5, ValueError("gone")), Stream(3.0, "b"))) == ["b"]


def test_a_failure_before_another_has_begun_is_raised_at_once() -> None:
    second = Stream("b")
    with pytest.raises(ValueError, match="gone"):
        run(heard(Stream(0.2, ValueError("gone")), second))
    assert second.began_s is None


def test_when_both_fail_the_last_error_is_raised() -> None:
    with pytest.raises(ValueError, match="second"):
        run(heard(Stream(1.5, ValueError("first")), Stream(2.0, ValueError("second"))))


def test_when_both_are_heard_in_the_same_moment_the_first_goes_on() -> None:
    first, second = Stream(2.0, "a", "a"), Stream(1.0, "b", "b")
    assert run(heard(first, second)) == ["a", "a"]
    assert not second.open


def test_a_failure_of_the_winner_is_its_own() -> None:
    with pytest.raises(ValueError, match="broke"):
        run(heard(Stream(5.0, "a"), Stream("b", ValueError("broke"))))


@pytest.mark.parametrize("after_s", [0.5, 1.5, 2.5])
def test_a_listener_that_leaves_closes_all_of_them(after_s: float) -> None:
    streams = [Stream(2.0, "a", 9.0, "a"), Stream(9.0, "b")]

    async def leave() -> None:
        before = asyncio.all_tasks()
        task = asyncio.create_task(heard(*streams))
        await asyncio.sleep(after_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == before

    run(leave())
    assert [one.open for one in streams] == [False, False]


def test_a_listener_that_leaves_while_the_others_are_closed_closes_the_winner_too() -> None:
    winner, loser = Stream(1.0, "b", 9.0, "b"), Stream(9.0, "a")
    closing = asyncio.Event()

    async def slow_to_close() -> AsyncGenerator[str, None]:
        try:
            async with aclosing(loser.play()) as words:
                async for word in words:
                    yield word
        finally:
            closing.set()
            await asyncio.sleep(5.0)

    async def hear() -> None:
        async with aclosing(hedged(iter([slow_to_close(), winner.play()]), 1.0)) as words:
            async for _ in words:
                pass

    async def leave() -> None:
        task = asyncio.create_task(hear())
        await closing.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [winner.open, loser.open] == [False, False]

    run(leave())
