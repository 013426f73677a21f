"""One connection, at a real Redis: what is read on it, and when it must not be used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from redis.exceptions import ConnectionError, ResponseError

from gateway.configuration.settings import Redis as Settings
from gateway.redis.line import Line
from gateway.redis.lines import connecting
from tests.redis_at_hand import RedisServer, until


@pytest.fixture
async def line(shared_redis: RedisServer) -> AsyncGenerator[Line, None]:
    one = Line(connecting(Settings(url=shared_redis.url), {})())
    await one.open()
    yield one
    await one.close()


async def test_replies_come_in_the_order_of_commands_and_errors_stand_among_them(line: Line) -> None:
    value = bytes(range(256)) * 4000  # comes in several pieces
    replies = await line.ask_all(("SET", "k", value), ("GET", "k"), ("INCR", "k"), ("EVAL", "return {1, 'two'}", 0))
    assert replies[:2] == [b"OK", value]
    assert isinstance(replies[2], ResponseError)
    assert replies[3] == [1, b"two"]
    with pytest.raises(ResponseError):
        await line.ask("INCR", "k")
    assert line.usable


async def test_a_second_call_is_refused_while_one_is_under_way(line: Line) -> None:
    waiting = asyncio.create_task(line.ask("BLPOP", "nothing", 0.05))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one call"):
        await line.ask("PING")
    assert await waiting is None


async def test_a_line_that_redis_closed_is_not_usable(line: Line, shared_redis: RedisServer) -> None:
    waiting = asyncio.create_task(line.ask("BLPOP", "nothing", 5))
    name = await _address(line)
    await asyncio.sleep(0)
    with shared_redis.client() as client:
        client.client_kill(name)
    with pytest.raises(ConnectionError):
        await waiting
    assert not line.usable
    with pytest.raises(ConnectionError):
        await line.ask("PING")


async def test_a_line_on_which_something_comes_unasked_is_not_usable(line: Line, shared_redis: RedisServer) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await line.ask("BLPOP", "late", 5)
    assert line.usable  # nothing came yet: who left it in the middle has to close it
    with shared_redis.client() as client:
        client.rpush("late", "x")
    await until(lambda: not line.usable)


async def _address(line: Line) -> str:
    assert line._transport is not None
    host, port = line._transport.get_extra_info("sockname")
    return f"{host}:{port}"
