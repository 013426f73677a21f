"""Who makes what, over processes: the embedded form and Redis keep the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from gateway.absent import Absent
from gateway.clock import SystemClock
from gateway.configuration.settings import Redis
from gateway.flight import claims
from gateway.flight.claims import Claims, Heard, MemoryClaims, Standing
from gateway.redis.claims import RedisClaims
from gateway.redis.store import Store
from tests.redis_at_hand import RedisServer


@pytest.fixture(params=["memory", "redis"])
async def board(request: pytest.FixtureRequest, shared_redis: RedisServer) -> AsyncGenerator[Claims, None]:
    if request.param == "memory":
        yield MemoryClaims()
        return
    store = Store(Redis(url=shared_redis.url, budget_ms=1000), {}, SystemClock())
    yield RedisClaims(store)
    await store.aclose()


async def test_a_claim_is_held_by_whoever_came_first(board: Claims) -> None:
    assert await board.claim("speech", "mine") == "mine"
    assert await board.claim("speech", "yours") == "mine"
    assert await board.claim("another", "yours") == "yours"


async def test_what_is_written_is_read_in_order_by_everybody(board: Claims) -> None:
    await board.claim("speech", "mine")
    assert await board.append("speech", "mine", 0, [b"one", b"two"]) == Standing(held=True, watched=False)
    assert await board.read("speech", "mine", 0) == Heard([b"one", b"two"], held=True)
    assert await board.append("speech", "mine", 2, [b"three"]) == Standing(held=True, watched=True)
    for _ in range(2):
        assert await board.read("speech", "mine", 1) == Heard([b"two", b"three"], held=True)
    assert await board.read("speech", "mine", 3) == Heard([], held=True)


async def test_who_asks_for_a_claim_in_vain_counts_as_watching(board: Claims) -> None:
    await board.claim("speech", "mine")
    await board.claim("speech", "yours")
    assert await board.append("speech", "mine", 0, []) == Standing(held=True, watched=True)


async def test_many_items_are_read_in_several_calls(board: Claims) -> None:
    items = [f"{number}".encode() for number in range(100)]
    await board.claim("speech", "mine")
    await board.append("speech", "mine", 0, items)
    first = await board.read("speech", "mine", 0)
    assert first.items == items[: claims.MOST_ITEMS]
    assert (await board.read("speech", "mine", claims.MOST_ITEMS)).items == items[claims.MOST_ITEMS :]


async def test_a_write_that_is_tried_again_writes_nothing_twice(board: Claims) -> None:
    await board.claim("speech", "mine")
    for _ in range(2):
        assert (await board.append("speech", "mine", 0, [b"one", b"two"])).held
    for _ in range(2):
        assert (await board.append("speech", "mine", 2, [b"three"])).held
    assert (await board.read("speech", "mine", 0)).items == [b"one", b"two", b"three"]


async def test_a_write_that_does_not_follow_on_is_refused(board: Claims) -> None:
    """As when the store came back with an older state: a reader must not hear with a gap."""
    await board.claim("speech", "mine")
    assert await board.append("speech", "mine", 5, [b"six"]) == Standing(held=False, watched=False)
    assert (await board.read("speech", "mine", 0)).items == []


async def test_only_the_holder_writes(board: Claims) -> None:
    await board.claim("speech", "mine")
    assert not (await board.append("speech", "yours", 0, [b"wrong"])).held
    await board.end("speech", "yours", 0, [b"wrong"], False)
    assert (await board.read("speech", "yours", 0)) == Heard([], held=False)
    assert await board.claim("speech", "another") == "mine"


async def test_after_the_end_all_is_still_read_and_the_claim_is_free(board: Claims) -> None:
    await board.claim("speech", "mine")
    await board.append("speech", "mine", 0, [b"one"])
    await board.end("speech", "mine", 1, [b"end"], False)
    assert await board.read("speech", "mine", 0) == Heard([b"one", b"end"], held=False)
    assert await board.claim("speech", "yours") == "yours"
    assert await board.read("speech", "mine", 0) == Heard([b"one", b"end"], held=False)


async def test_the_claim_of_a_speech_that_is_kept_stays_for_a_moment(board: Claims) -> None:
    await board.claim("speech", "mine")
    await board.end("speech", "mine", 0, [b"end"], True)
    assert await board.claim("speech", "yours") == "mine"
    assert (await board.read("speech", "mine", 0)).items == [b"end"]


class Turned:
    """A clock turned by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_holder_that_stops_writing_loses_its_claim() -> None:
    clock = Turned()
    board = MemoryClaims(clock)
    await board.claim("speech", "mine")
    clock.now_s += claims.LEASE_S - 0.1
    assert (await board.append("speech", "mine", 0, [])).held
    clock.now_s += claims.LEASE_S - 0.1
    assert await board.claim("speech", "yours") == "mine"
    clock.now_s += 0.2
    assert await board.read("speech", "mine", 0) == Heard([], held=False)
    assert await board.claim("speech", "yours") == "yours"
    assert not (await board.append("speech", "mine", 0, [b"late"])).held
    clock.now_s += claims.ITEMS_S + 1
    await board.claim("another", "yours")
    assert len(board._holders) == len(board._written) == 1


async def test_times_are_those_of_redis(shared_redis: RedisServer) -> None:
    """No clock of a gateway is in it, so that they may differ: everything lapses by itself, and nothing is left."""
    store = Store(Redis(url=shared_redis.url, budget_ms=1000), {}, SystemClock())
    board = RedisClaims(store)
    with shared_redis.client() as client:

        def times() -> dict[str, float]:
            return {
                key.decode().rpartition("}:")[2].partition(":")[0]: client.pttl(key) / 1000
                for key in client.scan_iter()
            }

        await board.claim("speech", "mine")
        await board.append("speech", "mine", 0, [b"one"])
        await board.read("speech", "mine", 0)
        now = times()
        assert set(now) == {"claim", "items", "watched"}
        assert 0 < now["claim"] <= claims.LEASE_S < now["items"] <= claims.ITEMS_S
        assert 0 < now["watched"] <= claims.WATCHED_S
        await board.end("speech", "mine", 1, [b"end"], True)
        assert 0 < times()["claim"] <= claims.LINGER_S
    await store.aclose()


async def test_a_redis_that_is_away_is_absent_for_every_call(redis_server: RedisServer) -> None:
    store = Store(Redis(url=redis_server.url), {}, SystemClock())
    board = RedisClaims(store)
    redis_server.kill()
    calls = [board.claim("s", "t"), board.append("s", "t", 0, []), board.end("s", "t", 0, [], True)]
    assert [type(one) for one in await asyncio.gather(*calls, board.read("s", "t", 0), return_exceptions=True)] == [
        Absent
    ] * 4
    await store.aclose()
