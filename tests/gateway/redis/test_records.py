"""Outcomes that every gateway finds: running and ended ones, and each gateway's own while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from gateway.clock import SystemClock
from gateway.outcomes import shared as module
from gateway.outcomes.outcomes import MemoryOutcomes, pack_outcome
from gateway.outcomes.shared import SharedOutcomes
from gateway.record import Attempt, Served
from gateway.redis.records import RedisRecords
from gateway.redis.store import Store
from policies.policy import Terms
from policies.types import Plan, Skip, Step
from tests.redis_at_hand import RedisServer

MakeStore = Callable[..., Store]
MakeOutcomes = Callable[..., SharedOutcomes]


def served(name: str) -> Served:
    plan = Plan(
        "rule",
        (Step("espeak", "v", 0.2, "first"),),
        (Skip("cloud", "down", "no answer"),),
        ("cloud", "espeak"),
        Terms(retries=3),
    )
    attempts = [Attempt("espeak", "v", 0, 0.1, 0.2, error="busy", message="all slots are taken")]
    return Served(name, datetime.now(UTC), plan=plan, attempts=attempts, tags=frozenset({"a"}), languages=("zh", "en"))


@pytest.fixture
async def gateway(make_store: MakeStore) -> AsyncGenerator[MakeOutcomes, None]:
    """A factory of the outcomes of one more gateway on a Redis, closed before its store is."""
    async with AsyncExitStack() as stack:

        def make(server: RedisServer) -> SharedOutcomes:
            store = make_store(server.url)
            one = SharedOutcomes(RedisRecords(store), MemoryOutcomes(10, 60, SystemClock()), 60)
            stack.push_async_callback(one.aclose)
            return one

        yield make


async def found(outcomes: SharedOutcomes, name: str, outcome: str) -> Served:
    async with asyncio.timeout(20):
        while (one := await outcomes.get(name)) is None or one.outcome != outcome:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return one


async def test_another_gateway_sees_a_request_run_and_end(shared_redis: RedisServer, gateway: MakeOutcomes) -> None:
    here, there = gateway(shared_redis), gateway(shared_redis)
    one = served("a")
    await here.put(one)
    assert await found(there, "a", "running") == one
    one.outcome, one.bytes_out = "complete", 1234
    await here.put(one)
    assert await found(there, "a", "complete") == one
    with shared_redis.client() as client:
        assert 0 < client.ttl("voxgate:outcome:a") <= 60
    assert await there.get("b") is None


async def test_one_that_runs_long_is_written_again(
    shared_redis: RedisServer, gateway: MakeOutcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.05)
    here, there = gateway(shared_redis), gateway(shared_redis)
    one = served("a")
    await here.put(one)
    await found(there, "a", "running")
    with shared_redis.client() as client:
        client.flushall()
    one.bytes_out = 99
    assert (await found(there, "a", "running")).bytes_out == 99


async def test_the_last_records_are_written_at_the_end(shared_redis: RedisServer, gateway: MakeOutcomes) -> None:
    here, there = gateway(shared_redis), gateway(shared_redis)
    for n in range(500):
        one = served(f"n{n}")
        one.outcome = "complete"
        await here.put(one)
    await here.aclose()
    assert await there.get("n499") is not None
    assert await there.get("n0") is not None  # which the form in memory has forgotten


async def test_without_redis_each_gateway_knows_its_own_and_tells_the_others_later(
    redis_server: RedisServer, gateway: MakeOutcomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    here, there = gateway(redis_server), gateway(redis_server)
    redis_server.kill()
    for n in range(5):
        one = served(f"n{n}")
        one.outcome = "complete"
        await here.put(one)
        assert await here.get(f"n{n}") == one
    assert await there.get("n4") is None
    redis_server.start()
    assert await found(there, "n4", "complete") == one
    assert await found(there, "n2", "complete")
    assert await there.get("n1") is None  # more than may wait


async def test_one_that_cannot_be_written_keeps_no_other_from_being_written(
    shared_redis: RedisServer, gateway: MakeOutcomes
) -> None:
    here, there = gateway(shared_redis), gateway(shared_redis)
    bad, good = served("bad"), served("good")
    bad.message = "no such file: \udcff"
    for one in (bad, good):
        one.outcome = "failed"
        await here.put(one)
    assert await found(there, "good", "failed") == good
    assert await there.get("bad") is None
    assert await here.get("bad") is bad


@pytest.mark.parametrize("value", [b"", b"nonsense", b"\x80", pack_outcome(served("a"))[:-5]])
async def test_what_is_no_record_is_unknown(shared_redis: RedisServer, gateway: MakeOutcomes, value: bytes) -> None:
    with shared_redis.client() as client:
        client.set("voxgate:outcome:a", value)
    assert await gateway(shared_redis).get("a") is None
