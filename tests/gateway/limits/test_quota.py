"""What an account at a cloud allows: never more starts in a second, never more tasks at once, and no long wait."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engines.contract import Quota
from engines.errors import Throttled
from gateway.clock import SystemClock
from gateway.limits.buckets import LEASE_S, Buckets
from gateway.limits.limiter import Limiter
from gateway.limits.memory import MemoryBuckets
from gateway.limits.quota import LOOK_AGAIN_S, WITHIN_S, AccountQuota, turns
from gateway.redis.buckets import RedisBuckets
from tests.redis_at_hand import RedisServer, until
from tests.virtual import LoopClock, run

from .conftest import MakeStore


def quotas(count: int, buckets: Buckets | None = None) -> list[Quota]:
    """Of so many gateways, which share `buckets`."""
    buckets = buckets or MemoryBuckets(LoopClock())
    return [AccountQuota(Limiter(MemoryBuckets(LoopClock()), buckets)) for _ in range(count)]


def most_within(times_s: list[float], window_s: float) -> int:
    """The most starts in any window that includes its beginning only; microseconds, as they are counted."""
    ticks = sorted(round(one * 1e6) for one in times_s)
    return max(bisect_left(ticks, tick + round(window_s * 1e6)) - place for place, tick in enumerate(ticks))


@pytest.mark.parametrize("per_s", [1, 2, 3, 5, 20, 100])
def test_no_second_sees_more_starts_than_the_account_may_have(per_s: int) -> None:
    """Of two gateways, each asked by crowds that come and in part go again, after a silence and in a steady stream."""

    async def main() -> list[float]:
        times_s: list[float] = []
        gateways = quotas(2)

        async def task(number: int) -> None:
            try:
                async with gateways[number % 2].start("a", "m", per_s, 0):
                    times_s.append(asyncio.get_running_loop().time())
            except Throttled:
                pass

        many = 5 * per_s
        for crowd, pause_s in [(many, 3.0)] + [(many, 0.3)] * 8 + [(1, 0.4 / per_s)] * many + [(many, 3.0)]:
            tasks = [asyncio.create_task(task(number)) for number in range(crowd)]
            await asyncio.sleep(pause_s)
            for one in tasks[2::3]:  # some of which still wait
                one.cancel()
        await asyncio.sleep(10)
        return times_s

    times_s = run(main())
    assert most_within(times_s, 1.0) <= per_s
    assert most_within(times_s, 1.1) == per_s  # starts that come closer to one another on their way
    assert len(times_s) >= 3 * per_s  # and they are used


def test_turns_come_in_the_order_of_asking_and_the_wait_is_bounded() -> None:
    async def main() -> None:
        (quota,) = quotas(1)
        loop, order = asyncio.get_running_loop(), list[int]()
        began_s = loop.time()

        async def task(number: int) -> None:
            async with quota.start("a", "m", 20, 0):
                order.append(number)
                assert loop.time() - began_s <= WITHIN_S

        tasks = [asyncio.create_task(task(number)) for number in range(60)]
        done = await asyncio.gather(*tasks, return_exceptions=True)
        refused = [error for error in done if error is not None]
        assert order == list(range(len(order)))
        assert len(order) == turns(20)[1].limit
        assert refused
        assert all(isinstance(error, Throttled) and error.retry_after_s == 1 for error in refused)

    run(main())


def test_who_would_wait_too_long_is_told_at_once() -> None:
    async def main() -> None:
        (quota,) = quotas(1)
        booked = [asyncio.create_task(quota.start("a", "m", 1, 0).__aenter__()) for _ in range(turns(1)[1].limit)]
        await asyncio.sleep(0)
        since_s = asyncio.get_running_loop().time()
        with pytest.raises(Throttled, match="allows: 1 a second") as caught:
            await quota.start("a", "m", 1, 0).__aenter__()
        assert asyncio.get_running_loop().time() == since_s
        assert caught.value.retry_after_s is not None
        async with quota.start("a", "another model", 1, 0), quota.start("another account", "m", 1, 0):
            assert asyncio.get_running_loop().time() == since_s
        await asyncio.sleep(caught.value.retry_after_s)
        async with quota.start("a", "m", 1, 0):
            pass
        await asyncio.gather(*booked)

    run(main())


def test_places_are_shared_and_waited_for_a_while() -> None:
    async def main() -> None:
        here, there = quotas(2)
        loop, busy, most = asyncio.get_running_loop(), 0, 0

        async def task(quota: Quota) -> None:
            nonlocal busy, most
            async with quota.start("a", "m", 0, 3):
                busy += 1
                most = max(most, busy)
                await asyncio.sleep(0.5)
                busy -= 1

        await asyncio.gather(*(task(quota) for quota in (here, there) for _ in range(4)))
        assert (busy, most) == (0, 3)
        async with here.start("a", "m", 0, 1):
            since_s = loop.time()
            with pytest.raises(Throttled, match="as much is under way as its account allows") as caught:
                async with there.start("a", "m", 0, 1):
                    pytest.fail("there is no place")
            assert caught.value.retry_after_s == 1
            assert WITHIN_S <= loop.time() - since_s < WITHIN_S + 0.2

    run(main())


def test_a_place_is_held_for_as_long_as_a_task_takes_and_comes_back_from_a_dead_process() -> None:
    async def main() -> None:
        here, there = quotas(2)
        async with here.start("a", "m", 0, 1):
            for _ in range(3):
                await asyncio.sleep(LEASE_S)
                with pytest.raises(Throttled):
                    await there.start("a", "m", 0, 1).__aenter__()
        dying = here.start("a", "m", 0, 1)
        await dying.__aenter__()
        dead = here._limiter  # type: ignore[attr-defined]
        dead._shared = dead._own = MemoryBuckets(LoopClock())  # nothing of it is heard any more
        await asyncio.sleep(LEASE_S)
        async with there.start("a", "m", 0, 1):
            pass

    run(main())


@pytest.mark.parametrize("when", ["while it waits for its turn", "while it waits for a place", "at work"])
def test_who_is_cancelled_holds_nothing(when: str) -> None:
    async def main() -> None:
        (quota,) = quotas(1)
        per_s, at_once = (1, 2) if "turn" in when else (0, 1)

        async def task() -> None:
            async with quota.start("a", "m", per_s, at_once):
                await asyncio.sleep(100)

        tasks = [asyncio.create_task(task()) for _ in range(1 if when == "at work" else 2)]
        await asyncio.sleep(0.5)
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        buckets = quota._limiter._shared  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        assert buckets._leases_us == {}
        await asyncio.sleep(LEASE_S)  # nor is it renewed
        assert buckets._leases_us == {}

    run(main())


def test_each_look_for_a_place_has_its_own_patience_with_a_redis() -> None:
    async def main() -> None:
        looks = 0

        @contextmanager
        def patience() -> Iterator[None]:
            nonlocal looks
            looks += 1
            yield

        quota = AccountQuota(Limiter(MemoryBuckets(LoopClock())), patience)
        async with quota.start("a", "m", 5, 1):
            assert looks == 1
            with pytest.raises(Throttled):
                await quota.start("a", "m", 5, 1).__aenter__()
            assert looks > WITHIN_S / LOOK_AGAIN_S

    run(main())


async def test_without_limits_nobody_is_asked() -> None:
    quota = AccountQuota(Limiter(MemoryBuckets(SystemClock()), None))
    async with quota.start("a", "m", 0, 0), quota.start("a", "m", 0, 0):
        assert quota._limiter._own._tats_us == {}


async def test_gateways_that_share_a_redis_count_together_and_alone_without_it(
    make_store: MakeStore, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.limits.quota.WITHIN_S", 0.1)
    stores = [make_store(redis_server) for _ in range(2)]
    limiters = [Limiter(MemoryBuckets(SystemClock()), RedisBuckets(store)) for store in stores]
    here, there = [AccountQuota(limiter, store.patience) for limiter, store in zip(limiters, stores, strict=True)]
    for kill in (False, True):
        if kill:
            redis_server.kill()
        model = f"killed {kill}"
        async with here.start("a", model, 1, 1):
            with pytest.raises(Throttled):
                await here.start("a", model, 0, 1).__aenter__()
            if kill:
                async with there.start("a", model, 1, 1):
                    pass
            else:
                with pytest.raises(Throttled):
                    await there.start("a", model, 1, 1).__aenter__()
                with redis_server.client() as client:
                    assert client.exists(f"voxgate:limits:{{key:account a {model}}}:starts")
    redis_server.start()
    await until(lambda: all(store.state == "up" for store in stores))
    for limiter in limiters:
        await limiter.aclose()
