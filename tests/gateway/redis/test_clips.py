"""Clips in a real Redis: the rule's order, whole clips only, and a Redis that fails costs no reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.cache import Clip, MemoryCache
from gateway.redis.clips import RedisCache
from gateway.redis.store import Store
from tests.redis_at_hand import RedisServer

MakeStore = Callable[..., Store]


def clip(size: int = 100, fill: bytes = b"x") -> Clip:
    return Clip(fill * size, "espeak", "cmn-latn-pinyin+f3", 1.5)


@pytest.fixture
def cache(shared_redis: RedisServer, make_store: MakeStore) -> RedisCache:
    return RedisCache(make_store(shared_redis.url), 60, 1_000_000)


async def test_another_gateway_finds_the_clip(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, other = (MemoryCache(10_000, RedisCache(make_store(shared_redis.url), 60, 1000)) for _ in range(2))
    await one.put("abc", clip())
    await one.aclose()
    assert await other.first(["abc"]) == (0, clip())
    shared_redis.pause()
    assert await other.first(["abc"]) == (0, clip())  # now in memory
    shared_redis.resume()


async def test_the_first_key_in_order_wins_in_one_round_trip(cache: RedisCache, shared_redis: RedisServer) -> None:
    await cache.put("b", clip(fill=b"b"))
    await cache.put("c", clip(fill=b"c"))
    assert await cache.first(["a", "c", "b"]) == (1, clip(fill=b"c"))
    assert await cache.first(["b"]) == (0, clip(fill=b"b"))
    assert await cache.first(["a"]) is None
    assert await cache.first([]) is None
    with shared_redis.client() as client:
        assert client.info("commandstats")["cmdstat_mget"]["calls"] == 3


async def test_a_clip_is_forgotten_after_its_time_and_a_large_one_is_not_kept(
    cache: RedisCache, shared_redis: RedisServer
) -> None:
    await cache.put("abc", clip())
    await cache.put("large", clip(1_000_001))
    with shared_redis.client() as client:
        assert 0 < client.ttl("voxgate:clip:abc") <= 60
        assert client.keys() == [b"voxgate:clip:abc"]


@pytest.mark.parametrize("damage", [b"", b"nonsense", clip().pack("abc")[:-1], clip().pack("abd"), clip().pack("")])
async def test_what_is_no_whole_clip_of_the_key_is_a_miss_until_it_is_overwritten(
    cache: RedisCache, shared_redis: RedisServer, damage: bytes
) -> None:
    await cache.put("later", clip(fill=b"l"))
    with shared_redis.client() as client:
        client.set("voxgate:clip:abc", damage)
    assert await cache.first(["abc"]) is None
    assert await cache.first(["abc", "later"]) == (1, clip(fill=b"l"))
    await cache.put("abc", clip())
    assert await cache.first(["abc"]) == (0, clip())


async def test_a_value_of_another_kind_is_a_miss_until_it_is_overwritten(
    cache: RedisCache, shared_redis: RedisServer
) -> None:
    with shared_redis.client() as client:
        client.rpush("voxgate:clip:abc", "x")
    assert await cache.first(["abc"]) is None
    assert await cache.first(["abc", "abd"]) is None
    await cache.put("abc", clip())
    assert await cache.first(["abc"]) == (0, clip())


async def test_a_redis_that_died_costs_a_miss_and_no_error(redis_server: RedisServer, make_store: MakeStore) -> None:
    cache = RedisCache(make_store(redis_server.url), 60, 1000)
    await cache.put("abc", clip())
    redis_server.kill()
    assert await cache.first(["abc"]) is None
    await cache.put("abc", clip())


async def test_a_full_redis_keeps_the_clips_it_has(redis_server: RedisServer, make_store: MakeStore) -> None:
    cache = RedisCache(make_store(redis_server.url), 60, 1000)
    await cache.put("abc", clip())
    with redis_server.client() as client:
        client.config_set("maxmemory", 1)
    await asyncio.gather(*(cache.put(f"n{n}", clip()) for n in range(20)))
    assert await cache.first(["abc"]) == (0, clip())
    assert await cache.first(["n0"]) is None
