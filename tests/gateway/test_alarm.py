"""The alarm: it ends the wait that it was set for, no other one, and nothing but its own."""

from __future__ import annotations

import asyncio

import pytest

from gateway.alarm import Alarm
from tests.virtual import run


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def wait(alarm: Alarm, within_s: float, takes_s: float) -> None:
    with alarm:
        alarm.set(now_s() + within_s)
        await asyncio.sleep(takes_s)


def test_it_ends_a_wait_that_takes_too_long() -> None:
    async def scene() -> None:
        alarm, began_s = Alarm(), now_s()
        with pytest.raises(TimeoutError):
            await wait(alarm, 2, 10)
        assert alarm.rang
        assert now_s() - began_s == pytest.approx(2)
        await asyncio.sleep(10)  # nothing of it is left

    run(scene())


def test_each_wait_has_its_own_time_and_what_is_between_is_not_counted() -> None:
    async def scene() -> None:
        alarm = Alarm()
        for _ in range(5):
            await wait(alarm, 2, 1.5)
            await asyncio.sleep(30)
        began_s = now_s()
        with pytest.raises(TimeoutError):
            await wait(alarm, 3, 10)
        assert now_s() - began_s == pytest.approx(3)

    run(scene())


def test_a_wait_may_be_given_more_time_or_less() -> None:
    async def scene() -> None:
        alarm, began_s = Alarm(), now_s()
        loop = asyncio.get_running_loop()
        loop.call_soon(alarm.set, began_s + 5)
        loop.call_later(2, alarm.set, began_s + 3)
        with pytest.raises(TimeoutError):
            await wait(alarm, 1, 10)
        assert now_s() - began_s == pytest.approx(3)
        with alarm:
            alarm.set(now_s() + 1)
            alarm.set(float("inf"))
            await asyncio.sleep(10)
        assert not alarm.rang

    run(scene())


def test_errors_and_cancellations_from_elsewhere_pass() -> None:
    async def scene() -> None:
        alarm = Alarm()
        with pytest.raises(TimeoutError), alarm:
            raise TimeoutError
        assert not alarm.rang
        for cancelled_after_s in (0.5, 1.0):  # at the very moment that it rings, too
            task = asyncio.create_task(wait(alarm, 1, 10))
            asyncio.get_running_loop().call_later(cancelled_after_s, task.cancel)
            with pytest.raises(asyncio.CancelledError):
                await task

    run(scene())


def test_one_that_is_closed_rings_no_more() -> None:
    async def scene() -> None:
        alarm = Alarm()
        await wait(alarm, 1, 0.5)
        alarm.close()
        await asyncio.sleep(10)
        assert not alarm.rang

    run(scene())
