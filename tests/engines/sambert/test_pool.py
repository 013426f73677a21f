"""The pool over real sockets: when a connection is used again, when it is not, and that none is left."""

from __future__ import annotations

import asyncio
import gc
import random

import pytest

from engines.errors import EngineFault, Throttled, Unavailable
from engines.sambert.connection import Connection
from engines.sambert.faults import Lost
from engines.sambert.pool import COOL_DOWN_S, LONGEST_COOL_DOWN_S, Pool
from engines.sambert.protocol import Audio
from engines.sambert.times import Times
from tests.engines.sambert import speech
from tests.engines.sambert.scene import (
    COSYVOICE,
    SAMBERT,
    TEXT,
    Hands,
    at_once,
    fault_of,
    hear,
    pcm_of,
    pool_at,
    rounds,
    with_key,
)
from tests.engines.sambert.service import Act, Door, Service

WHOLE = speech.pcm(TEXT, 16000)
THROTTLED = Act("failed", "first", code="Throttling.RateQuota")


async def test_one_connection_carries_one_task_after_another() -> None:
    async with Service() as service, pool_at(service) as pool:
        for task in (SAMBERT, COSYVOICE, SAMBERT):
            assert pcm_of(await hear(pool, task)) == WHOLE
    assert service.accepted == 1
    assert len({task.task_id for task in service.tasks}) == 3


async def test_tasks_at_once_have_connections_of_their_own_which_others_use_later() -> None:
    async with Service() as service, pool_at(service) as pool:
        for _ in range(2):
            heard = await asyncio.gather(*(hear(pool) for _ in range(5)))
            assert [pcm_of(events) for events in heard] == [WHOLE] * 5
        assert service.accepted == 5


async def test_a_connection_whose_task_was_left_or_failed_is_not_used_again() -> None:
    async with Service() as service, pool_at(service) as pool:
        service.acts.append(Act("failed", "half"))
        await fault_of(pool)
        running = pool.run(SAMBERT)
        async for event in running:
            if isinstance(event, Audio):
                break
        await running.aclose()
        await hear(pool)
    assert [task.connection for task in service.tasks] == [0, 1, 2]


async def test_a_connection_is_kept_45_seconds() -> None:
    async with Service() as service, pool_at(service) as pool:
        hands = Hands()
        await hear(pool)
        hands.turn(44)
        await hear(pool)
        hands.turn(44)
        await hear(pool)
        assert service.accepted == 1
        hands.turn(45)
        await service.until(lambda: service.open == 0)
        assert service.closes == [1000]
        await hear(pool)
        assert service.accepted == 2


async def test_the_connections_that_are_not_needed_grow_old() -> None:
    async with Service() as service, pool_at(service) as pool:
        hands = Hands()
        await asyncio.gather(*(hear(pool) for _ in range(3)))
        for _ in range(2):
            hands.turn(20)
            await hear(pool)
        hands.turn(6)
        await service.until(lambda: service.open <= 2)
        await service.until(lambda: service.open == 1)
        await hear(pool)
        assert service.accepted == 3


async def test_a_connection_that_the_service_closed_meanwhile_is_replaced_silently() -> None:
    async with Service(idle_s=60) as service, pool_at(service, Times(idle_s=1000)) as pool:
        hands = Hands()
        await hear(pool)
        hands.turn(60)
        await service.until(lambda: service.open == 0)
        assert pcm_of(await hear(pool)) == WHOLE
        assert service.accepted == 2


@pytest.mark.parametrize("how", ["reset", "close", "foreign"])
@pytest.mark.parametrize("task", [SAMBERT, COSYVOICE], ids=["sambert", "cosyvoice"])
async def test_a_kept_connection_that_dies_under_a_new_task_is_replaced_once(how: str, task: object) -> None:
    dying = Act(how, "first")  # type: ignore[arg-type]
    async with Service() as service, pool_at(service) as pool:
        await hear(pool)
        service.acts.append(dying)
        assert pcm_of(await hear(pool, task)) == WHOLE  # type: ignore[arg-type]
        assert (service.accepted, len(service.tasks)) == (2, 3)
        service.acts.extend([dying, dying])
        assert type(await fault_of(pool, task)) is Lost  # type: ignore[arg-type]
        assert (service.accepted, len(service.tasks)) == (3, 5)


@pytest.mark.parametrize("act", [Act("reset", "started"), Act("failed", "first"), Act("bad_json", "first")])
async def test_any_other_fault_of_a_kept_connection_is_told(act: Act) -> None:
    async with Service() as service, pool_at(service) as pool:
        await hear(pool)
        service.acts.append(act)
        assert isinstance(await fault_of(pool), EngineFault)
        assert (service.accepted, len(service.tasks)) == (1, 2)


@pytest.mark.parametrize("act", [Act("silence", "first"), Act("failed", "first"), Act("reset", "half")])
async def test_the_try_after_a_fault_has_a_new_connection_though_others_were_kept(act: Act) -> None:
    async with Service() as service, pool_at(service) as pool:
        hands = Hands()
        await asyncio.gather(*(hear(pool) for _ in range(3)))
        service.acts.append(act)
        failing = asyncio.create_task(fault_of(pool))
        await service.until(lambda: len(service.tasks) == 4)
        await rounds()
        hands.turn(5 if act.fault == "silence" else 0)
        assert isinstance(await at_once(failing), EngineFault)
        assert pcm_of(await hear(pool)) == WHOLE
        assert service.tasks[-1].connection == service.accepted - 1 == 3
        await service.until(lambda: service.open == 1)  # the others are closed


async def test_a_new_key_gets_a_new_connection() -> None:
    key = ["sk-one"]
    async with Service(key="sk-one") as service:
        pool = Pool(service.endpoint, lambda: {"Authorization": f"Bearer {key[0]}"})
        await hear(pool)
        service.key = key[0] = "sk-two"
        await hear(pool)
        await hear(pool)
        assert [headers["Authorization"] for headers in service.handshakes] == ["Bearer sk-one", "Bearer sk-two"]
        await pool.close()


async def test_a_key_that_is_not_there_is_told_before_anything_is_sent() -> None:
    def without_key() -> dict[str, str]:
        raise Unavailable("no key")

    async with Service() as service:
        pool = Pool(service.endpoint, without_key)
        assert (await fault_of(pool)).message == "no key"
        assert service.handshakes == []
        await pool.close()


async def test_an_account_with_no_more_room_is_left_alone_for_longer_and_longer() -> None:
    async with Service(usual=THROTTLED) as service, pool_at(service) as pool:
        hands, waits = Hands(), []
        for _ in range(6):
            error = await fault_of(pool)
            assert type(error) is Throttled
            assert error.retry_after_s
            waits.append(round(error.retry_after_s))
            hands.turn(error.retry_after_s)
        assert waits == [COOL_DOWN_S, 10, 20, 40, LONGEST_COOL_DOWN_S, LONGEST_COOL_DOWN_S]
        service.usual = Act()
        await hear(pool)
        service.usual = THROTTLED
        assert round((await fault_of(pool)).retry_after_s or 0) == COOL_DOWN_S


async def test_many_who_are_throttled_at_once_are_told_one_time() -> None:
    async with Service(usual=THROTTLED) as service, pool_at(service) as pool:
        errors = await asyncio.gather(*(fault_of(pool) for _ in range(8)))
        assert {round(error.retry_after_s or 0) for error in errors} == {COOL_DOWN_S}


async def test_a_longer_time_that_the_service_names_is_kept() -> None:
    async with Service() as service, pool_at(service) as pool:
        service.doors.append(Door(429, headers=(("Retry-After", "33"),)))
        assert (await fault_of(pool)).retry_after_s == 33


async def test_starts_over_the_accounts_rate_are_throttled_by_the_service() -> None:
    now_s = [0.0]
    async with Service(starts_per_s=3, clock=lambda: now_s[0]) as service, pool_at(service) as pool:
        for _ in range(3):
            await hear(pool)
        assert type(await fault_of(pool)) is Throttled
        now_s[0] = 1.0
        await hear(pool)


async def test_closing_closes_kept_and_speaking_connections_and_lets_nobody_in() -> None:
    async with Service() as service:
        hands, pool, broken = Hands(), Pool(service.endpoint, with_key), []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: broken.append(what))
        await asyncio.gather(hear(pool), hear(pool))
        service.acts.append(Act("silence", "half"))
        hearing = asyncio.create_task(fault_of(pool))
        await service.until(lambda: len(service.tasks) == 3 and bool(service.tasks[2].audio_bytes))
        assert service.open == 2
        await pool.close()
        await service.until(lambda: service.open == 0)
        assert type(await hearing) is Lost
        assert type(await fault_of(pool)) is Unavailable
        await pool.close()
        hands.turn(50)
        await rounds()
        assert broken == []


async def test_closing_while_it_connects_begins_no_task() -> None:
    async with Service() as service:
        pool = Pool(service.endpoint, with_key)
        connecting = asyncio.create_task(fault_of(pool))
        await asyncio.sleep(0)
        await pool.close()
        assert type(await connecting) is Unavailable
        await service.until(lambda: service.open == 0)
        assert service.tasks == []


async def test_nothing_happens_before_the_first_event_is_asked_for() -> None:
    async with Service() as service, pool_at(service) as pool:
        running = pool.run(SAMBERT)
        await rounds()
        await running.aclose()
        assert service.handshakes == []


async def test_nothing_is_left_of_many_tasks_that_end_in_many_ways() -> None:
    chance = random.Random(7)
    before = asyncio.all_tasks()
    async with Service() as service, pool_at(service) as pool:
        faults = [Act(), Act("failed", "half"), Act("reset", "started"), Act("close", "end"), Act("foreign", "first")]
        service.acts.extend(chance.choices(faults, k=60))
        hearing = [asyncio.create_task(hear(pool)) for _ in range(60)]
        await service.until(lambda: len(service.tasks) == 60)
        for one in hearing[::3]:
            one.cancel()
        results = await asyncio.gather(*hearing, return_exceptions=True)
        whole = [result for result in results if isinstance(result, list)]
        assert all(pcm_of(events) == WHOLE for events in whole)
        assert {type(result) for result in results} <= {list, EngineFault, Lost, asyncio.CancelledError}
        assert 0 < len(whole) < 60
        await pool.close()
        await service.until(lambda: service.open == 0)
        del results, whole, hearing, one
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Connection)]
    assert asyncio.all_tasks() == before
