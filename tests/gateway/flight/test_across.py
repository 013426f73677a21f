"""Equal requests at the same time at two gateways on one Redis: one making, or each its own; never a wrong one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from engines.errors import Busy, EngineFault, Interrupted, Unavailable
from gateway.flight import across, claims
from gateway.flight.across import MadeElsewhere
from gateway.flight.claims import MemoryClaims
from gateway.pipeline import speak
from gateway.record import Served
from gateway.refusals import NoEngine, OutOfTime
from gateway.runtime import Runtime
from tests.engines_at_hand import Scripted, chunk
from tests.gateway.conftest import POLICIES, Bench
from tests.redis_at_hand import RedisServer, until

from .conftest import Paced, client, nothing_left
from .test_flight import Refusing, SpeechError429, leave, spoken

#: no retries, so that the count of requests says who tried
POLICY = POLICIES + "defaults: {retries: 0}\n"
Gateways = Callable[..., Awaitable[list[Runtime]]]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims lapse ten times as fast as in earnest."""
    monkeypatch.setattr("gateway.redis.claims.LEASE_S", claims.LEASE_S / 10)
    monkeypatch.setattr(across, "LEASE_S", claims.LEASE_S / 10)
    monkeypatch.setattr(across, "RENEW_S", claims.RENEW_S / 10)


@pytest.fixture
def gateways(bench: Bench, shared_redis: RedisServer) -> Gateways:
    """A factory: one gateway for each engine, or map of engines, all on one Redis."""

    async def make(*engines: Scripted | dict[str, Scripted], url: str = shared_redis.url) -> list[Runtime]:
        # more time than in earnest: a machine that runs tests may be slower than any Redis
        redis = f"redis: {{url: '{url}', budget_ms: 2000}}\n"
        named = [{"a": one} if isinstance(one, Scripted) else one for one in engines]
        return [await bench.runtime(each, policies=POLICY, gateway=redis) for each in named]

    return make


async def test_equal_requests_at_two_gateways_cost_one_synthesis(gateways: Gateways) -> None:
    engines = [Paced([chunk(value=1)], [chunk(value=2)], [chunk(value=3)], free=1) for _ in range(2)]
    runtimes = await gateways(*engines)
    clients = [client(runtimes[number % 2], f"client {number}") for number in range(6)]
    tasks = [one.start() for one in clients]
    for one in clients:
        await one.begun.wait()  # all hear the first sentence before the second is spoken
    late = client(runtimes[1], "a latecomer")
    tasks.append(late.start())
    await late.begun.wait()
    assert not any(task.done() for task in tasks)
    for engine in engines:
        engine.go.set()
    assert set(await asyncio.gather(*tasks)) == {spoken(1, 2, 3)}
    assert sorted(len(engine.requests) for engine in engines) == [0, 3]
    records = [await one.record() for one in (*clients, late)]
    assert sorted(one.cache for one in records) == ["follow"] * 6 + ["miss"]
    assert {(one.outcome, one.engine, one.engine_voice, *one.clause_engines) for one in records} == {
        ("complete", "a", "a-voice", "a", "a", "a")
    }
    assert [round(one.audio_s, 6) for one in records] == [0.06] * 7
    assert sorted(len(one.attempts) for one in records) == [0] * 6 + [3]
    for runtime in runtimes:
        await nothing_left(runtime, *engines)


async def led(runtime: Runtime, engine: Paced, **more: object) -> asyncio.Task[bytes]:
    """A client whose request its gateway makes, and which waits in it."""
    task = client(runtime, "leader", **more).start()
    await engine.waiting.wait()
    return task


async def test_an_error_of_the_engines_is_everybodys(gateways: Gateways) -> None:
    broken, other = Paced([Unavailable("a is gone")], free=0), Scripted()
    one, two = await gateways(broken, other)
    leading = await led(one, broken)
    following = client(two, "follower").start()
    await watched(one)
    broken.go.set()
    errors = await asyncio.gather(leading, following, return_exceptions=True)
    assert isinstance(errors[1], MadeElsewhere)
    assert {(error.status, error.code, error.message) for error in errors} == {  # type: ignore[union-attr]
        (503, "unavailable", "no engine can speak this: a is gone")
    }
    assert not other.requests
    await nothing_left(two, other)


async def test_a_line_that_is_full_is_so_at_its_own_gateway_alone(gateways: Gateways) -> None:
    full, other = Paced([Busy("a is full")], free=0), Scripted([chunk(value=1)], [chunk(value=2)], [chunk(value=3)])
    one, two = await gateways(full, other)
    leading = await led(one, full)
    following = client(two, "follower").start()
    await watched(one)
    full.go.set()
    with pytest.raises(NoEngine, match="a is full"):
        await leading
    assert await following == spoken(1, 2, 3)
    for runtime, engine in ((one, full), (two, other)):
        await nothing_left(runtime, engine)


async def watched(leading: Runtime) -> None:
    """Until somebody elsewhere listens to the only flight of a gateway."""
    (flight,) = leading.flights._flights.values()
    async with asyncio.timeout(20):
        while flight.elsewhere is None or not await flight.elsewhere():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_an_engine_that_fails_half_way_is_replaced_for_all(gateways: Gateways) -> None:
    dying, other = Paced([chunk(value=1)], [chunk(value=9), EngineFault("died")]), Scripted()
    one, two = await gateways({"a": dying, "b": Scripted([chunk(value=2)])}, {"a": other, "b": Scripted()})
    leading = await led(one, dying)
    follower = client(two, "follower")
    following = follower.start()
    await follower.begun.wait()
    dying.go.set()
    assert await leading == await following == spoken(1, 2, 2)
    record = await follower.record()
    assert (record.clause_engines, record.engine) == (["a", "b", "b"], "a")
    assert not other.requests
    later = client(two, "later")  # what is not kept in the cache is not taken from a flight that is over either
    await later.hear()
    assert (await later.record()).cache == "miss"


async def test_what_breaks_off_breaks_off_elsewhere(gateways: Gateways) -> None:
    dying, other = Paced([chunk(value=1)], [EngineFault("died")]), Scripted()
    one, two = await gateways(dying, other)
    leading = await led(one, dying)
    follower = client(two, "follower")
    following = follower.start()
    await follower.begun.wait()
    dying.go.set()
    for task in (leading, following):
        with pytest.raises(Interrupted):
            await task
    assert (await follower.record()).outcome == "interrupted"
    assert not other.requests


@pytest.mark.parametrize("free", [0, 1])
async def test_a_making_goes_on_for_who_listens_elsewhere(gateways: Gateways, free: int) -> None:
    engine, other = Paced([chunk(value=1)], [chunk(value=2)], [chunk(value=3)], free=free), Scripted()
    one, two = await gateways(engine, other)
    told: list[Served] = []
    one.listeners.append(told.append)
    leading = await led(one, engine)
    following = client(two, "follower").start()
    await watched(one)
    await leave(leading)
    assert engine.open == 1
    engine.go.set()
    assert await following == spoken(1, 2, 3)
    await nothing_left(one, engine)
    assert [(served.outcome, len(served.attempts)) for served in told] == [("cancelled", 3)]
    assert not other.requests


async def test_a_making_ends_with_the_last_who_listens_elsewhere(
    gateways: Gateways, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.redis.claims.WATCHED_S", 0.2)
    monkeypatch.setattr(across, "RENEW_S", 0.1)
    engine = Paced()
    one, two = await gateways(engine, Scripted())
    leading = await led(one, engine)
    following = client(two, "follower").start()
    await watched(one)
    await leave(leading)
    assert engine.open == 1
    await leave(following)
    await until(lambda: engine.open == 0)
    await nothing_left(one, engine)


async def test_a_making_that_nobody_hears_anywhere_ends_at_once(gateways: Gateways) -> None:
    engine = Paced()
    (one,) = await gateways(engine)
    await leave(await led(one, engine))
    assert engine.open == 0
    await nothing_left(one, engine)
    engine.go.set()
    assert await client(one, "again").hear() == chunk().pcm * 3  # the claim was given back


async def test_a_leader_without_credit_leaves_the_claim_to_others(gateways: Gateways) -> None:
    engine, other = Scripted(), Scripted()
    one, two = await gateways(engine, other)
    with pytest.raises(SpeechError429):
        await speak(client(one, "").request, one, "refused", Refusing())  # type: ignore[arg-type]
    follower = client(two, "other")
    assert await follower.hear() == chunk().pcm * 3
    assert (await follower.record()).outcome == "complete"
    assert not engine.requests


async def test_a_leader_whose_time_is_over_leaves_the_making_to_others(gateways: Gateways) -> None:
    engine, other = Paced([OutOfTime("the leader's time is over")], free=0), Scripted()
    one, two = await gateways(engine, other)
    leading = await led(one, engine)
    following = client(two, "follower").start()
    await watched(one)
    engine.go.set()
    with pytest.raises(OutOfTime):
        await leading
    assert await following == chunk().pcm * 3
    assert len(other.requests) == 3


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("free", [0, 1])
async def test_a_leader_that_is_gone_without_a_word(gateways: Gateways, free: int) -> None:
    """Who heard nothing of it is served; who heard a part is told that it broke off."""
    engine, other = Paced([chunk(value=1)], free=free), Scripted([chunk(value=2)])
    one, two = await gateways(engine, other)
    leading = await led(one, engine)
    followers = [client(two, f"follower {number}") for number in range(3)]
    tasks = [follower.start() for follower in followers]
    await watched(one)
    if free:
        for follower in followers:
            await follower.begun.wait()
    for publishing in list(one.flights._aside):
        publishing.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    if free:
        assert [type(result) for result in results] == [Interrupted] * 3
        assert not other.requests
    else:
        assert results == [spoken(2, 2, 2)] * 3
        assert len(other.requests) == 3
    engine.go.set()
    assert await leading == spoken(1, 1, 1)
    await nothing_left(two, other)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("how", ["kill", "pause", "restart"])
@pytest.mark.parametrize("free", [0, 1])
async def test_a_redis_that_goes_amid_leaves_nobody_hanging(
    gateways: Gateways, redis_server: RedisServer, how: str, free: int
) -> None:
    engine, other = Paced([chunk(value=1)], free=free), Scripted([chunk(value=2)])
    one, two = await gateways(engine, other, url=redis_server.url)
    leading = await led(one, engine)
    follower = client(two, "follower")
    following = follower.start()
    await watched(one)
    if free:
        await follower.begun.wait()
    getattr(redis_server, how)()
    result = (await asyncio.gather(following, return_exceptions=True))[0]
    if free:
        assert isinstance(result, Interrupted)
    else:
        assert result == spoken(2, 2, 2)
    engine.go.set()
    assert await leading == spoken(1, 1, 1)  # its own listener has noticed nothing
    if how == "pause":
        redis_server.resume()
    await nothing_left(one, engine)
    await nothing_left(two, other)


@pytest.mark.parametrize("nonsense", ["an item", "a key"])
async def test_nobody_follows_nonsense_twice(gateways: Gateways, shared_redis: RedisServer, nonsense: str) -> None:
    engine, other = Paced(free=0), Scripted([chunk(value=2)])
    one, two = await gateways(engine, other)
    leading = await led(one, engine)
    with shared_redis.client() as redis:
        (claim,) = redis.keys("*:claim")
        token = redis.get(claim)
        items = claim.replace(b"claim", b"items:") + token
        if nonsense == "an item":
            redis.rpush(items, b"nonsense")
        else:
            redis.set(items, b"not a list")
    tasks = [client(two, f"{number}").start() for number in range(3)]
    assert await asyncio.gather(*tasks) == [spoken(2, 2, 2)] * 3
    assert len(other.requests) == 3
    engine.go.set()
    assert await leading == chunk().pcm * 3
    await nothing_left(two, other)


async def test_without_redis_each_gateway_speaks_for_itself(gateways: Gateways, redis_server: RedisServer) -> None:
    engines = [Scripted(), Scripted()]
    runtimes = await gateways(*engines, url=redis_server.url)
    redis_server.kill()
    tasks = [client(runtimes[number % 2], f"{number}").start() for number in range(6)]
    assert await asyncio.gather(*tasks) == [chunk().pcm * 3] * 6
    assert [len(engine.requests) for engine in engines] == [3, 3]


async def test_processes_without_redis_agree_by_the_embedded_form(bench: Bench) -> None:
    engines = [Paced(free=0), Paced(free=0)]
    board = MemoryClaims()
    runtimes = [await bench.runtime({"a": engine}) for engine in engines]
    for runtime in runtimes:
        runtime.flights.claims = board
    tasks = [client(runtimes[number % 2], f"{number}").start() for number in range(6)]
    await until(lambda: any(engine.open for engine in engines))
    for engine in engines:
        engine.go.set()
    assert await asyncio.gather(*tasks) == [chunk().pcm * 3] * 6
    assert sorted(len(engine.requests) for engine in engines) == [0, 3]
    for runtime in runtimes:
        await nothing_left(runtime, *engines)


async def test_a_gateway_that_stops_tells_who_follows_it_elsewhere(gateways: Gateways) -> None:
    """They need not wait until its claim lapses."""
    engine, other = Paced(free=0), Scripted()
    one, two = await gateways(engine, other)
    leading = await led(one, engine)
    following = client(two, "follower").start()
    await watched(one)
    await one.flights.aclose()
    with pytest.raises(Unavailable, match="being stopped"):
        await leading
    assert await following == chunk().pcm * 3
    assert len(other.requests) == 3
    await nothing_left(two, other)
