"""One connection, at a real Redis: what is read on it, and when it must not be used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from redis.exceptions import ConnectionError, ResponseError

from gateway.configuration.settings import Redis as Settings
from gateway.redis.connection import Connection
from gateway.redis.pool import connecting
from tests.redis_at_hand import RedisServer, until


@pytest.fixture
async def connection(shared_redis: RedisServer) -> AsyncGenerator[Connection, None]:
    one = Connection(connecting(Settings(url=shared_redis.url), {})())
    await one.open()
    yield one
    await one.close()


async def test_replies_come_in_the_order_of_commands_and_errors_stand_among_them(connection: Connection) -> None:
    value = bytes(range(256)) * 4000  # comes in several pieces
    replies = await connection.ask_all(
        ("SET", "k", value), ("GET", "k"), ("INCR", "k"), ("EVAL", "return {1, 'two'}", 0)
    )
    assert replies[:2] == [b"OK", value]
    assert isinstance(replies[2], ResponseError)
    assert replies[3] == [1, b"two"]
    with pytest.raises(ResponseError):
        await connection.ask("INCR", "k")
    assert connection.usable


async def test_a_second_call_is_refused_while_one_is_under_way(connection: Connection) -> None:
    waiting = asyncio.create_task(connection.ask("BLPOP", "nothing", 0.05))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="one call"):
        await connection.ask("PING")
    assert await waiting is None


async def test_a_connection_that_redis_closed_is_not_usable(connection: Connection, shared_redis: RedisServer) -> None:
    waiting = asyncio.create_task(connection.ask("BLPOP", "nothing", 5))
    name = await _address(connection)
    await asyncio.sleep(0)
    with shared_redis.client() as client:
        client.client_kill(name)
    with pytest.raises(ConnectionError):
        await waiting
    assert not connection.usable
    with pytest.raises(ConnectionError):
        await connection.ask("PING")


async def test_a_connection_on_which_something_comes_unasked_is_not_usable(
    connection: Connection, shared_redis: RedisServer
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await connection.ask("BLPOP", "late", 5)
    assert connection.usable  # nothing came yet: who left it in the middle has to close it
    with shared_redis.client() as client:
        client.rpush("late", "x")
    await until(lambda: not connection.usable)


async def test_what_redis_tells_of_itself_is_no_reply(connection: Connection) -> None:
    connection.data_received(b">2\r\n+invalidate\r\n*1\r\n+k\r\n")
    assert connection.usable
    assert await connection.ask("PING") == b"PONG"


async def _address(connection: Connection) -> str:
    assert connection._transport is not None
    host, port = connection._transport.get_extra_info("sockname")
    return f"{host}:{port}"
