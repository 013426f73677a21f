"""Both forms of the buckets, at clocks that tests turn, and stores on a server at hand."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from gateway.clock import SystemClock
from gateway.configuration.settings import Redis as Settings
from gateway.limits.buckets import Buckets
from gateway.limits.memory import MemoryBuckets
from gateway.redis import store as module
from gateway.redis.buckets import RedisBuckets
from gateway.redis.store import Store
from tests.redis_at_hand import RedisServer
from tests.virtual import VirtualClock

MakeStore = Callable[[RedisServer], Store]


@dataclass
class Turned:
    """One form of the buckets, and the clock by which it counts."""

    buckets: Buckets
    clock: VirtualClock


@pytest.fixture
async def make_store(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[MakeStore, None]:
    """A factory of stores that are patient, because what is tested is not their patience, and probe often."""
    monkeypatch.setattr(module, "FIRST_PROBE_S", 0.01)
    monkeypatch.setattr(module, "LAST_PROBE_S", 0.05)
    async with AsyncExitStack() as stack:

        def make(server: RedisServer) -> Store:
            one = Store(Settings(url=server.unix_url, budget_ms=5000), {}, SystemClock())
            stack.push_async_callback(one.aclose)
            return one

        yield make


@pytest.fixture(params=["memory", "redis"])
def turned(request: pytest.FixtureRequest) -> Turned:
    """Each form in turn."""
    clock = VirtualClock()
    if request.param == "memory":
        return Turned(MemoryBuckets(clock), clock)
    store = request.getfixturevalue("make_store")(request.getfixturevalue("shared_redis"))
    return Turned(RedisBuckets(store, lambda: int(clock.monotonic() * 1_000_000)), clock)
