"""Slots: exact counts under success, failure, cancellation and change."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import Busy
from engines.slots import Slots


async def _holder(slots: Slots, name: str, order: list[str], leave: asyncio.Event) -> None:
    async with slots:
        order.append(name)
        await leave.wait()


async def _turn() -> None:
    """Let every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_free_slot_is_taken_without_waiting() -> None:
    slots = Slots(2)
    async with slots, slots:
        assert (slots.busy, slots.queued) == (2, 0)
    assert slots.busy == 0


async def test_a_full_queue_raises_busy_at_once_with_a_hint() -> None:
    slots = Slots(1, queue=1)
    leave = asyncio.Event()
    order: list[str] = []
    tasks = [asyncio.create_task(_holder(slots, name, order, leave)) for name in "ab"]
    await _turn()
    assert slots.full
    with pytest.raises(Busy) as raised:
        await slots.acquire()
    assert raised.value.retry_after_s is not None
    assert raised.value.retry_after_s > 0
    assert (slots.busy, slots.queued) == (1, 1)
    leave.set()
    await asyncio.gather(*tasks)
    assert (slots.busy, slots.queued, order) == (0, 0, ["a", "b"])


async def test_waiters_are_served_in_order_and_nobody_slips_in() -> None:
    slots = Slots(1, queue=3)
    order: list[str] = []
    leaves = {name: asyncio.Event() for name in "abcd"}
    tasks = [asyncio.create_task(_holder(slots, name, order, leaves[name])) for name in "abc"]
    await _turn()
    leaves["a"].set()
    tasks.append(asyncio.create_task(_holder(slots, "d", order, leaves["d"])))
    await _turn()
    assert order == ["a", "b"]
    for leave in leaves.values():
        leave.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c", "d"]


async def test_a_cancelled_waiter_leaves_the_queue_at_once() -> None:
    slots = Slots(1, queue=1)
    await slots.acquire()
    waiter = asyncio.create_task(slots.acquire())
    await _turn()
    waiter.cancel()
    assert slots.queued == 0
    with pytest.raises(asyncio.CancelledError):
        await waiter
    second = asyncio.create_task(slots.acquire())
    await _turn()
    slots.release()
    await second
    assert slots.busy == 1


async def test_a_turn_that_came_as_its_waiter_was_cancelled_passes_to_the_next() -> None:
    slots = Slots(1, queue=2)
    await slots.acquire()
    first, second = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await _turn()
    slots.release()  # the turn is the first one's now
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await second
    assert (slots.busy, slots.queued) == (1, 0)


async def _goes_on(slots: Slots, name: str, order: list[str], leave: asyncio.Event) -> None:
    async with slots.going_on():
        order.append(name)
        await leave.wait()


async def test_work_that_goes_on_is_next_and_is_never_turned_away() -> None:
    slots, order, leave = Slots(1, 1), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(_holder(slots, name, order, leave)) for name in ("holder", "newcomer")]
    await _turn()
    tasks += [asyncio.create_task(_goes_on(slots, name, order, leave)) for name in ("first", "second")]
    await _turn()
    assert (slots.busy, slots.queued, slots.full) == (1, 3, True)
    with pytest.raises(Busy):
        await slots.acquire()
    leave.set()
    await asyncio.gather(*tasks)
    assert order == ["holder", "first", "second", "newcomer"]
    assert (slots.busy, slots.queued) == (0, 0)


async def test_all_who_wait_can_be_turned_away_and_who_has_a_slot_keeps_it() -> None:
    slots, order, leave = Slots(1, 4), list[str](), asyncio.Event()
    holder = asyncio.create_task(_holder(slots, "holder", order, leave))
    await _turn()
    waiting = [asyncio.create_task(_holder(slots, "newcomer", order, leave)) for _ in range(2)]
    waiting.append(asyncio.create_task(_goes_on(slots, "going on", order, leave)))
    cancelled = asyncio.create_task(_holder(slots, "cancelled", order, leave))
    await _turn()
    cancelled.cancel()
    waiting[0].cancel()
    slots.turn_away(lambda: LookupError("gone"))
    results = await asyncio.gather(*waiting, cancelled, return_exceptions=True)
    kinds = [asyncio.CancelledError, LookupError, LookupError, asyncio.CancelledError]
    assert [type(one) for one in results] == kinds
    assert (slots.busy, slots.queued, order) == (1, 0, ["holder"])
    leave.set()
    await holder
    assert slots.busy == 0


async def test_a_failure_inside_gives_the_slot_back() -> None:
    slots = Slots(1)
    with pytest.raises(LookupError):
        async with slots:
            raise LookupError
    assert slots.busy == 0


async def test_more_slots_admit_waiters_and_fewer_wait_for_holders() -> None:
    slots = Slots(1, queue=2)
    await slots.acquire()
    waiters = [asyncio.create_task(slots.acquire()) for _ in range(2)]
    await _turn()
    slots.limit = 3
    await asyncio.gather(*waiters)
    slots.limit = 1
    slots.release()
    waiter = asyncio.create_task(slots.acquire())
    await _turn()
    assert (slots.busy, slots.queued) == (2, 1)
    slots.release()
    slots.release()
    await waiter
    assert slots.busy == 1


async def test_the_hint_follows_the_mean_time_a_slot_is_held() -> None:
    now = 0.0
    slots = Slots(2, clock=lambda: now)
    for held_s in (4.0, 8.0):
        async with slots:
            now += held_s
    assert slots.retry_after_s == pytest.approx(6.0 / 2)


def test_a_slot_that_nobody_holds_cannot_be_released() -> None:
    with pytest.raises(RuntimeError):
        Slots(1).release()


@pytest.mark.parametrize(("limit", "queue"), [(0, 0), (1, -1)])
def test_senseless_limits_are_refused(limit: int, queue: int) -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        Slots(limit, queue)


@given(
    st.integers(1, 3),
    st.integers(0, 3),
    st.lists(st.sampled_from(["come", "go on", "leave", "cancel", "turn"]), max_size=40),
)
def test_counts_stay_exact_whatever_happens(limit: int, queue: int, steps: list[str]) -> None:
    async def live() -> None:
        slots = Slots(limit, queue)
        leaves: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        for step in steps:
            if step in ("come", "go on"):
                leave, hold = asyncio.Event(), _holder if step == "come" else _goes_on
                leaves.append((asyncio.create_task(hold(slots, "", [], leave)), leave))
            elif step == "turn":
                await _turn()
            elif leaves:
                task, leave = leaves[len(steps) % len(leaves)]
                leave.set() if step == "leave" else task.cancel()
            assert 0 <= slots.busy <= limit
            assert 0 <= slots.queued <= queue + steps.count("go on")
        for _, leave in leaves:
            leave.set()
        results = await asyncio.gather(*(task for task, _ in leaves), return_exceptions=True)
        assert all(one is None or isinstance(one, Busy | asyncio.CancelledError) for one in results)
        assert (slots.busy, slots.queued) == (0, 0)

    asyncio.run(live())
