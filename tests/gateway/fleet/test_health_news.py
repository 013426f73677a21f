"""News of health: what gateways take over from one another, what they only suspect, and what stays each one's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from engines.contract import EngineInfo
from engines.errors import EngineFault, Throttled
from engines.slots import Slots
from gateway.absent import Absent
from gateway.clock import SystemClock
from gateway.commons.host import Host
from gateway.commons.link import Link, remote
from gateway.configuration.settings import Redis
from gateway.fleet import health_news
from gateway.fleet.bulletin import Bulletin, MemoryBulletin, News, Posted
from gateway.fleet.health_news import HealthNews, digest
from gateway.health.board import Board
from gateway.health.breaker import FAULTS_TO_OPEN, OPEN_S
from gateway.redis.bulletin import RedisBulletin
from gateway.redis.store import Store
from tests.engines_at_hand import Scripted, chunk
from tests.gateway.conftest import Bench
from tests.redis_at_hand import RedisServer
from tests.virtual import VirtualClock

CLOUD = EngineInfo(any_voice=True, any_language=True, local=False)


class Gateway:
    """One gateway's rows for engines by name, and its side of the bulletin."""

    def __init__(self, bulletin: Bulletin, clock: VirtualClock, **engines: EngineInfo) -> None:
        self.board = Board(clock)
        self.members = [self._member(name, info) for name, info in (engines or {"cloud": CLOUD}).items()]
        self.news = HealthNews(bulletin, lambda: self.members, clock)

    def _member(self, name: str, info: EngineInfo) -> SimpleNamespace:
        row = self.board.add(name, Slots(4), info=info)
        row.set_state("up")
        return SimpleNamespace(row=row, info=info, fingerprint=f"{name}\0kind\0{{}}")

    def state(self, name: str = "cloud") -> str:
        return self.board.snapshot().engines[name].state

    def fail(self, times: int = 1, name: str = "cloud") -> None:
        for _ in range(times):
            self.board.row(name).failed(EngineFault("broke"))

    def throttle(self, for_s: float, name: str = "cloud") -> None:
        self.board.row(name).failed(Throttled("quota", retry_after_s=for_s))


@dataclass
class World:
    """Gateways, made by calling it, that read one bulletin."""

    bulletin: Bulletin
    clock: VirtualClock

    def __call__(self, **engines: EngineInfo) -> Gateway:
        return Gateway(self.bulletin, self.clock, **engines)


@pytest.fixture(params=["memory", "first process", "redis"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[World, None]:
    clock = VirtualClock()
    if request.param == "memory":
        yield World(MemoryBulletin(clock), clock)
        return
    if request.param == "first process":
        with Host(tmp_path / "commons", {"bulletin": (MemoryBulletin(clock), Bulletin)}):
            link = Link(tmp_path / "commons")
            yield World(remote(link, "bulletin", Bulletin), clock)
            await link.aclose()
        return
    server: RedisServer = request.getfixturevalue("shared_redis")
    store = Store(Redis(url=server.url, budget_ms=2000), {}, SystemClock())
    yield World(RedisBulletin(store), clock)
    await store.aclose()


async def exchange(*gateways: Gateway) -> None:
    for gateway in gateways:
        await gateway.news.exchange()


async def test_a_cool_down_holds_for_all_who_use_the_account(world: World) -> None:
    one, other = world(), world()
    one.throttle(40)
    await exchange(one, other)
    assert (one.state(), other.state()) == ("cooling", "cooling")
    reason = other.board.snapshot().engines["cloud"].reason
    assert reason == "quota (as another gateway was told)"
    world.clock.advance(41)
    await exchange(one, other)
    assert (one.state(), other.state()) == ("up", "up")


async def test_a_shorter_news_cuts_no_cool_down_of_ones_own(world: World) -> None:
    one, other = world(), world()
    one.throttle(5)
    other.throttle(60)
    await exchange(one, other, one)
    world.clock.advance(30)
    assert (one.state(), other.state()) == ("cooling", "cooling")


async def test_an_open_breaker_is_suspicion_elsewhere_where_one_own_fault_opens_it(world: World) -> None:
    one, other, third = world(), world(), world()
    one.fail(FAULTS_TO_OPEN)
    await exchange(one, other, third)
    assert (one.state(), other.state()) == ("down", "up")
    other.fail()
    assert other.state() == "down"
    assert third.state() == "up"


async def test_suspicion_ends_with_the_news(world: World) -> None:
    one, other = world(), world()
    one.fail(FAULTS_TO_OPEN)
    await exchange(one, other)
    world.clock.advance(OPEN_S + 1)
    other.fail(FAULTS_TO_OPEN - 1)
    assert other.state() == "up"


async def test_a_success_of_its_own_clears_a_gateways_suspicion_no_sooner_than_the_news(world: World) -> None:
    one, other = world(), world()
    one.fail(FAULTS_TO_OPEN)
    await exchange(one, other)
    other.board.row("cloud").succeeded()
    other.fail()
    assert other.state() == "down"


async def test_news_are_taken_back_when_they_are_over(world: World) -> None:
    one, other = world(), world()
    one.fail(FAULTS_TO_OPEN)
    await exchange(one)
    one.board.row("cloud").set_state("down", "its process ended")
    one.board.row("cloud").set_state("up")
    await exchange(one, other)
    other.fail(FAULTS_TO_OPEN - 1)
    assert other.state() == "up"
    assert await world.bulletin.read() == []


async def test_nobody_passes_on_what_he_only_heard(world: World) -> None:
    one, other = world(), world()
    one.throttle(40)
    one.fail(FAULTS_TO_OPEN)
    await exchange(one, other, other)
    assert {post.by for post in await world.bulletin.read()} == {one.news._by}


async def test_engines_of_ones_own_machine_share_nothing(world: World) -> None:
    local = EngineInfo(any_voice=True, any_language=True)
    one, other = world(here=local), world(here=local)
    one.fail(FAULTS_TO_OPEN, "here")
    one.throttle(40, "here")
    await exchange(one, other)
    assert other.state("here") == "up"
    assert await world.bulletin.read() == []


async def test_an_engine_with_other_options_is_another_one(world: World) -> None:
    one, other = world(), world()
    other.members[0].fingerprint = "cloud\0kind\0{another account}"
    one.throttle(40)
    await exchange(one, other)
    assert other.state() == "up"


async def test_what_makes_no_sense_moves_nobody(shared_redis: RedisServer) -> None:
    clock = VirtualClock()
    store = Store(Redis(url=shared_redis.url, budget_ms=2000), {}, SystemClock())
    gateway = Gateway(RedisBulletin(store), clock)
    mine = digest(gateway.members[0])
    packed = (
        b"\x91\x84\xa6engine"
        + bytes([0xA0 + len(mine)])
        + mine.encode()
        + b"\xa4what\xa4evil\xa5for_s\x01\xa6reason\xa0"
    )
    with shared_redis.client() as client:
        now = client.time()[0]
        for name, value in {
            b"a": b"nonsense",
            b"b": b"%d:" % now,
            b"c": b"%d:\xc1\xff" % now,
            b"d": b"%d:" % now + packed,
            b"\xff\xfe": b"%d:\x90" % now,
            b"old": b"%d:\x90" % (now - 10_000),
            b"future": b"%d:\x90" % (now + 10_000),
        }.items():
            client.hset("voxgate:health", name, value)
        await exchange(gateway)
        assert gateway.state() == "up"
        assert not {b"a", b"old"} & set(client.hkeys("voxgate:health"))
    await store.aclose()


async def test_no_news_holds_for_longer_than_an_hour_whatever_it_says() -> None:
    class Liar:
        async def post(self, by: str, news: list[News]) -> None: ...

        async def read(self) -> list[Posted]:
            endless = [News(digest(gateway.members[0]), "cooling", 1e12), News("unknown", "broken", 5)]
            return [Posted("x", 0.0, endless)]

    clock = VirtualClock()
    gateway = Gateway(Liar(), clock)
    await exchange(gateway)
    assert gateway.state() == "cooling"
    clock.advance(3601)
    assert gateway.state() == "up"


async def test_without_a_bulletin_each_goes_by_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_news, "LOOK_EVERY_S", 0.001)
    asked = asyncio.Event()

    class Gone:
        async def post(self, by: str, news: list[News]) -> None:
            raise Absent("gone")

        async def read(self) -> list[Posted]:
            asked.set()
            raise Absent("gone")

    gateway = Gateway(Gone(), VirtualClock())
    running = asyncio.create_task(gateway.news.run())
    for _ in range(3):
        asked.clear()
        await asyncio.wait_for(asked.wait(), 20)
    gateway.throttle(5)
    assert gateway.state() == "cooling"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_gateways_on_one_redis_tell_each_other_while_it_is_there_and_again_when_it_is_back(
    redis_server: RedisServer, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_news, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(health_news, "POST_AGAIN_S", 0.05)
    settings = f"redis: {{url: '{redis_server.url}', budget_ms: 2000}}\n"
    engines = {name: Scripted([chunk()], info=CLOUD) for name in "ab"}
    one, other = [await bench.runtime(engines, gateway=settings) for _ in range(2)]

    async def eventually(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    def state(name: str) -> str:
        return other.board.snapshot().engines[name].state

    one.board.row("a").failed(Throttled("quota", retry_after_s=60))
    await eventually(lambda: state("a") == "cooling")
    redis_server.kill()
    one.board.row("b").failed(Throttled("quota", retry_after_s=60))
    await eventually(lambda: one.store is not None and one.store.state == "down")
    assert state("b") == "up"
    redis_server.start()
    await eventually(lambda: state("b") == "cooling")


async def test_the_news_end_with_the_gateway(redis_server: RedisServer, bench: Bench) -> None:
    engines = {name: Scripted([chunk()]) for name in "ab"}
    runtime = await bench.runtime(engines, gateway=f"redis: {{url: '{redis_server.url}'}}\n")
    assert runtime.news is not None
    await runtime.aclose()
    assert runtime.news.done()
