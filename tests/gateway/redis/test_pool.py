"""Who gets which connection to Redis, at a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from gateway.configuration.settings import Redis as Settings
from gateway.redis.pool import Pool, connecting
from tests.redis_at_hand import RedisServer, until


@pytest.fixture
async def pool(shared_redis: RedisServer) -> AsyncGenerator[Pool, None]:
    def failed(error: Exception, began_s: float) -> None:
        raise AssertionError from error

    one = Pool(connecting(Settings(url=shared_redis.url), {}), failed)
    yield one
    await one.aclose()


async def test_one_that_was_closed_while_nobody_used_it_is_not_used_again(
    pool: Pool, shared_redis: RedisServer
) -> None:
    old = await pool.take()
    pool.give(old)
    with shared_redis.client() as client:
        client.client_kill_filter(_type="normal", skipme=True)
    await until(lambda: not old.usable)
    new = await pool.take()
    assert await new.ask("PING") == b"PONG"
    assert pool.open == 1
    pool.give(new)


async def test_who_leaves_just_when_he_gets_one_leaves_it_to_others(pool: Pool) -> None:
    one = await pool.take()
    waiting = asyncio.create_task(pool.take())
    await asyncio.sleep(0)
    pool.give(one)  # to him, before he knows
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await pool.take() is one
    pool.give(one)
