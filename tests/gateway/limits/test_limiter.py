from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import pytest
from redis.crc import key_slot

from gateway.absent import Absent
from gateway.clock import Clock, SystemClock
from gateway.configuration.settings import Limits
from gateway.keys.caller import Caller
from gateway.limits.buckets import Correction, Draw, Place, Taken
from gateway.limits.limiter import MOST_ASIDE, Limiter, RateLimited
from gateway.limits.memory import MemoryBuckets
from gateway.limits.permit import FREE, Permit
from gateway.redis.buckets import RedisBuckets
from gateway.redis.store import Store
from tests.redis_at_hand import RedisServer, until
from tests.virtual import VirtualClock, run

from .conftest import MakeStore

Told = dict[str, str]


def caller(name: str = "one", **limits: int) -> Caller:
    return Caller(name=name, limits=Limits(**limits))


def told(permit: Permit | RateLimited) -> Told:
    """The headers, without what their names have in common."""
    headers = permit.headers if isinstance(permit, RateLimited) else permit.headers()
    return {name.decode().removeprefix("x-ratelimit-"): value.decode() for name, value in headers}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def limiter(clock: VirtualClock) -> Limiter:
    return Limiter(MemoryBuckets(clock))


class Untouchable:
    """Shared buckets that nobody may ask."""

    def __getattr__(self, name: str) -> object:
        pytest.fail(f"{name} was asked for")


async def test_who_has_no_limits_asks_nobody() -> None:
    limiter = Limiter(MemoryBuckets(VirtualClock()), Untouchable())  # type: ignore[arg-type]
    async with await limiter.admit(Caller()) as permit:
        await permit.spend(10**9, 1e9)
        await permit.settle(1e9, spoken=True)
        assert permit is FREE
        assert permit.headers() == []


async def test_requests_beyond_the_limit_are_refused_until_it_is_time(limiter: Limiter, clock: VirtualClock) -> None:
    one = caller(requests_per_minute=3)
    remaining = [told(await limiter.admit(one))["remaining-requests"] for _ in range(3)]
    assert remaining == ["2", "1", "0"]
    with pytest.raises(RateLimited, match=r"limit of 3 requests a minute is reached; try again in 20s") as caught:
        await limiter.admit(one)
    assert (caught.value.retry_after_s, caught.value.client_may_retry) == (20, True)
    assert told(caught.value) == {"limit-requests": "3", "remaining-requests": "0", "reset-requests": "1m0s"}
    clock.advance(20)
    await limiter.admit(one)


async def test_each_caller_has_limits_of_its_own(limiter: Limiter) -> None:
    await limiter.admit(caller("one", requests_per_minute=1))
    await limiter.admit(caller("two", requests_per_minute=1))
    await limiter.admit(caller("", requests_per_minute=1))
    with pytest.raises(RateLimited):
        await limiter.admit(caller("", requests_per_minute=1))


async def test_characters_and_audio_are_taken_both_or_none(limiter: Limiter) -> None:
    one = caller(characters_per_minute=100, audio_seconds_per_day=10)
    permit = await limiter.admit(one)
    with pytest.raises(RateLimited, match=r"about 11 seconds of audio, more than the whole limit of 10 seconds"):
        await permit.spend(60, 11)
    assert told(permit)["remaining-characters"] == "100"
    await permit.spend(60, 6)
    with pytest.raises(RateLimited, match=r"limit of 100 characters a minute is reached; try again in 12s"):
        await permit.spend(60, 1)
    with pytest.raises(RateLimited, match=r"limit of 10 seconds of audio a day is reached; try again in 2h24m0s"):
        await permit.spend(40, 5)
    await permit.spend(40, 4)


async def test_a_text_larger_than_the_whole_limit_is_not_worth_another_try(limiter: Limiter) -> None:
    permit = await limiter.admit(caller(characters_per_minute=100))
    with pytest.raises(RateLimited, match="takes 101 characters, more than the whole limit of 100 char") as caught:
        await permit.spend(101, 1)
    assert (caught.value.client_may_retry, caught.value.retry_after_s) == (False, None)


async def test_what_nothing_came_of_is_given_back_once_and_the_request_stays_counted(limiter: Limiter) -> None:
    one = caller(requests_per_minute=10, characters_per_minute=100, audio_seconds_per_day=10)
    async with await limiter.admit(one) as other:
        await other.spend(30, 3)
        async with await limiter.admit(one) as permit:
            await permit.spend(60, 6)
            assert told(permit)["remaining-characters"] == "10"
            await permit.settle(0, spoken=False)
            assert told(permit)["remaining-characters"] == "70"
            await permit.settle(0, spoken=False)
    after = await limiter.admit(one)
    assert (told(after)["remaining-requests"], told(after)["remaining-characters"]) == ("7", "70")
    await after.spend(70, 7)


async def test_a_refused_request_gives_nothing_back(limiter: Limiter) -> None:
    one = caller(characters_per_minute=100)
    await (await limiter.admit(one)).spend(80, 1)
    permit = await limiter.admit(one)
    with pytest.raises(RateLimited):
        await permit.spend(30, 1)
    await permit.settle(0, spoken=False)
    assert told(await limiter.admit(one))["remaining-characters"] == "20"


@pytest.mark.parametrize(("spoken_s", "left_s"), [(2.0, 8), (4.0, 6), (10.0, 0)])
async def test_audio_is_counted_as_it_was_spoken(limiter: Limiter, spoken_s: float, left_s: float) -> None:
    one = caller(characters_per_minute=100, audio_seconds_per_day=10)
    permit = await limiter.admit(one)
    await permit.spend(60, 4)
    await permit.settle(spoken_s, spoken=True)
    after = await limiter.admit(one)
    assert told(after)["remaining-characters"] == "40"
    with pytest.raises(RateLimited):
        await after.spend(1, left_s + 0.01)
    if left_s:
        await after.spend(1, left_s)


async def test_debt_of_audio_is_bounded(limiter: Limiter, clock: VirtualClock) -> None:
    one = caller(audio_seconds_per_day=10)
    permit = await limiter.admit(one)
    await permit.spend(1, 10)
    await permit.settle(10_000, spoken=True)
    with pytest.raises(RateLimited):
        await permit.spend(1, 10)
    clock.advance(2 * 86400)
    await permit.spend(1, 10)


async def test_a_place_is_free_again_after_the_permit_whatever_happened(limiter: Limiter) -> None:
    one = caller(in_flight=1)
    permit = await limiter.admit(one)

    async def fail() -> None:
        async with permit:
            with pytest.raises(RateLimited, match="limit of 1 requests at the same time") as caught:
                await limiter.admit(one)
            assert caught.value.retry_after_s == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with await limiter.admit(one):
        await permit.__aexit__(None, None, None)  # once more does no harm
        with pytest.raises(RateLimited):
            await limiter.admit(one)


class LoopClock(SystemClock):
    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def test_a_place_is_held_as_long_as_its_request_lasts_and_not_longer_than_its_holder_lives() -> None:
    async def main() -> None:
        limiter, one = Limiter(MemoryBuckets(LoopClock())), caller(in_flight=1)
        async with await limiter.admit(one):
            for _ in range(20):
                await asyncio.sleep(7)
                with pytest.raises(RateLimited):
                    await limiter.admit(one)
        lost = await limiter.admit(one)
        lost._stay._renewal.cancel()  # type: ignore[attr-defined]  # its process died
        await asyncio.sleep(29)
        with pytest.raises(RateLimited):
            await limiter.admit(one)
        await asyncio.sleep(1)
        await limiter.admit(one)

    run(main())


# --- with others ---


class Away:
    """Shared buckets that are not there; `calls` tells who was looked for in vain."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def take(self, owner: str, draws: tuple[Draw, ...], place: Place | None) -> Taken:
        self.calls.append("take")
        raise Absent("away")

    async def correct(self, owner: str, corrections: tuple[Correction, ...]) -> None:
        self.calls.append("correct")
        raise Absent("away")

    async def renew(self, owner: str, place: Place) -> None:
        raise Absent("away")

    async def leave(self, owner: str, place: Place) -> None:
        self.calls.append(f"leave {place.lease}")
        raise Absent("away")


async def test_without_the_others_this_process_counts_by_itself(clock: VirtualClock) -> None:
    away = Away()
    limiter, one = Limiter(MemoryBuckets(clock), away), caller(characters_per_minute=100, in_flight=1)
    async with await limiter.admit(one) as permit:
        with pytest.raises(RateLimited):
            await limiter.admit(one)
        await permit.spend(60, 1)
        await permit.settle(0, spoken=False)
    async with await limiter.admit(one) as permit:
        assert told(permit)["remaining-characters"] == "100"
    await limiter.aclose()
    # what was tried to be taken there may have been, with the answer lost: so its place is freed there; the rest is
    # put right here, where it was taken
    assert {call.split()[0] for call in away.calls} == {"take", "leave"}


class Hanging(Away):
    """Shared buckets that hear, and do not answer."""

    async def take(self, owner: str, draws: tuple[Draw, ...], place: Place | None) -> Taken:
        self.calls.append("take")
        return await asyncio.Future()


async def test_who_leaves_while_it_is_admitted_holds_no_place(clock: VirtualClock) -> None:
    hanging = Hanging()
    limiter = Limiter(MemoryBuckets(clock), hanging)
    admission = asyncio.create_task(limiter.admit(caller(in_flight=1)))
    await until(lambda: bool(hanging.calls))
    admission.cancel()
    with pytest.raises(asyncio.CancelledError):
        await admission
    await limiter.aclose()
    assert len(hanging.calls) == 2
    assert hanging.calls[1].startswith("leave ")


async def test_calls_by_the_side_are_bounded(clock: VirtualClock) -> None:
    limiter = Limiter(MemoryBuckets(clock))
    gate = asyncio.Event()
    began = 0

    async def call() -> None:
        nonlocal began
        began += 1
        await gate.wait()

    for _ in range(MOST_ASIDE + 5):
        limiter.aside(call())
    gate.set()
    await limiter.aclose()
    assert began == MOST_ASIDE


# --- over one Redis ---


def sharing(store: Store, clock: Clock | None = None) -> Limiter:
    return Limiter(MemoryBuckets(clock or SystemClock()), RedisBuckets(store))


async def test_two_gateways_never_let_more_through_than_the_limit(
    make_store: MakeStore, shared_redis: RedisServer
) -> None:
    """Hammered with requests, some of which fail and give back."""
    limiters = [sharing(make_store(shared_redis)) for _ in range(2)]
    one = caller(characters_per_minute=600)  # ten a second
    used = 0

    async def hammer(limiter: Limiter, number: int) -> None:
        nonlocal used
        for turn in range(60):
            async with await limiter.admit(one) as permit:
                try:
                    await permit.spend(7, 1)
                except RateLimited:
                    continue
                spoken = (number + turn) % 3 > 0
                await permit.settle(1, spoken=spoken)
                used += 7 * spoken

    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(16):
            group.create_task(hammer(limiters[number % 2], number))
    assert 600 - 7 < used <= 600 + (time.monotonic() - began_s) * 10
    for limiter in limiters:
        await limiter.aclose()


async def test_places_are_shared_too(make_store: MakeStore, shared_redis: RedisServer) -> None:
    here, there = (sharing(make_store(shared_redis)) for _ in range(2))
    one, most, now = caller(in_flight=5), 0, 0

    async def hold(limiter: Limiter) -> int:
        nonlocal most, now
        try:
            async with await limiter.admit(one):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1
                return 1
        except RateLimited:
            return 0

    admitted = await asyncio.gather(*(hold(limiter) for _ in range(100) for limiter in (here, there)))
    assert most <= 5 <= sum(admitted)
    await here.aclose()
    await there.aclose()
    with shared_redis.client() as client:
        assert client.keys() == []


async def test_a_cached_reply_costs_one_call_and_an_engine_s_two_more(
    make_store: MakeStore, shared_redis: RedisServer
) -> None:
    limiter = sharing(make_store(shared_redis))
    one = caller(requests_per_minute=10, characters_per_minute=100, audio_seconds_per_day=10)

    def calls() -> int:
        with shared_redis.client() as client:
            stats = client.info("commandstats")
            return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "zrem"))

    await limiter.admit(one)  # the script is known from now on
    before = calls()
    async with await limiter.admit(one):
        pass
    assert calls() == before + 1
    async with await limiter.admit(one) as permit:
        await permit.spend(10, 1)
        await permit.settle(1, spoken=True)
    await limiter.aclose()
    assert calls() == before + 1 + 3


async def test_keys_lie_together_in_a_cluster_and_vanish_when_their_buckets_are_full(
    make_store: MakeStore, shared_redis: RedisServer
) -> None:
    limiter = sharing(make_store(shared_redis))
    limits = {"requests_per_minute": 60000, "characters_per_minute": 60, "audio_seconds_per_day": 1000, "in_flight": 2}
    for name in ("key one", ""):
        permit = await limiter.admit(caller(name, **limits))
        await permit.spend(30, 2)
    with shared_redis.client() as client:
        tag = b"voxgate:limits:{key:key one}:"
        names = [tag + what for what in (b"requests", b"characters", b"audio", b"in-flight")]
        assert set(client.keys("*one*")) <= set(names)  # the requests are full again in a millisecond
        assert len({key_slot(name) for name in names}) == 1
        assert 29_000 < client.pttl(names[1]) <= 30_001
        assert 172_000 < client.pttl(names[2]) <= 172_801
        assert 29_000 < client.pttl(names[3]) <= 30_000
        assert client.exists("voxgate:limits:{key:}:characters")
        await until(lambda: not client.exists(names[0]))


async def test_speech_goes_on_while_redis_is_killed_and_is_counted_together_again_after(
    make_store: MakeStore, redis_server: RedisServer
) -> None:
    stores = [make_store(redis_server) for _ in range(2)]
    here, there = (sharing(store) for store in stores)
    one = caller(requests_per_minute=4)
    for limiter in (here, there):
        await limiter.admit(one)
    redis_server.kill()
    for limiter, left in ((here, ["2", "1", "0"]), (there, ["1", "0"])):  # each by itself, from what it saw last
        assert [told(await limiter.admit(one))["remaining-requests"] for _ in left] == left
        with pytest.raises(RateLimited):
            await limiter.admit(one)
    redis_server.start()
    await until(lambda: all(store.state == "up" for store in stores))
    counted = [told(await limiter.admit(one))["remaining-requests"] for limiter in (here, there, here, there)]
    assert counted == ["3", "2", "1", "0"]


async def test_a_place_outlives_the_redis_that_kept_it(
    make_store: MakeStore, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.limits.stay.RENEW_S", 0.01)
    store = make_store(redis_server)
    limiter, one = sharing(store), caller(in_flight=1)
    async with await limiter.admit(one):
        redis_server.restart()  # empty
        with redis_server.client() as client:
            await until(lambda: bool(client.zcard("voxgate:limits:{key:one}:in-flight")))
        with pytest.raises(RateLimited):
            await limiter.admit(one)
    await limiter.aclose()
    async with await limiter.admit(one):
        pass
    await limiter.aclose()


async def test_a_place_is_held_whether_redis_goes_or_comes_back(
    make_store: MakeStore, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.limits.stay.RENEW_S", 0.01)
    store = make_store(redis_server)
    limiter, one = sharing(store), caller(in_flight=2)
    async with await limiter.admit(one):
        redis_server.kill()
        await until(lambda: store.state == "down")
        async with await limiter.admit(one):
            with pytest.raises(RateLimited):
                await limiter.admit(one)
            redis_server.start()
            with redis_server.client() as client:
                await until(lambda: client.zcard("voxgate:limits:{key:one}:in-flight") == 2)
            with pytest.raises(RateLimited):
                await limiter.admit(one)
    await limiter.aclose()
    with redis_server.client() as client:
        assert not client.keys("*limits*")


@pytest.fixture
def paused(redis_server: RedisServer) -> Iterator[RedisServer]:
    """Redis, to be paused; it goes on at the test's end."""
    yield redis_server
    redis_server.resume()


async def test_the_end_of_a_reply_does_not_wait_for_redis(make_store: MakeStore, paused: RedisServer) -> None:
    limiter, one = sharing(make_store(paused)), caller(characters_per_minute=100, in_flight=1)
    async with await limiter.admit(one) as permit:
        await permit.spend(60, 1)
        paused.pause()
        ending = asyncio.create_task(permit.settle(0, spoken=False))
        await asyncio.sleep(0)
        assert ending.done()
        ending = asyncio.create_task(permit.__aexit__(None, None, None))
        await asyncio.sleep(0)
        assert ending.done()
        paused.resume()
        await limiter.aclose()
    async with await limiter.admit(one) as permit:
        assert told(permit)["remaining-characters"] == "100"
    await limiter.aclose()


async def test_refusals_are_counted_by_the_limit_that_was_reached(limiter: Limiter) -> None:
    short, crowded = caller("short", requests_per_minute=9, characters_per_minute=10), caller("crowded", in_flight=1)
    permit = await limiter.admit(short)
    for chars in (11, 10, 1):  # more than there ever is; all there is; too soon
        with contextlib.suppress(RateLimited):
            await permit.spend(chars, 0)
    await limiter.admit(crowded)
    with pytest.raises(RateLimited):
        await limiter.admit(crowded)
    assert limiter.refused == {"characters": 2, "in_flight": 1}
