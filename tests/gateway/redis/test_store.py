"""The store against a real Redis that is stopped, paused, killed, full, read-only and started again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.absent import Absent
from gateway.configuration.settings import Redis as Settings
from gateway.redis.connection import Ask, Connection
from gateway.redis.pool import MOST_OPEN
from gateway.redis.probe import visit
from gateway.redis.store import Store
from gateway.telemetry.logs import REQUEST_ID
from tests.redis_at_hand import RedisServer, until

MakeStore = Callable[..., Store]


async def get(store: Store, key: str, **how: Any) -> Any:
    return await store.call(lambda ask: ask("GET", key), **how)


async def never(ask: Ask) -> None:
    raise AssertionError("it was asked in vain")


async def put(store: Store, key: str, value: str | bytes = "value") -> Any:
    return await store.call(lambda ask: ask("SET", key, value), writes=True)


async def test_a_call_gives_what_the_command_makes(shared_redis: RedisServer, make_store: MakeStore) -> None:
    store = make_store(shared_redis.url)
    await store.start()
    assert await put(store, "k", "v") == b"OK"
    assert await get(store, "k") == b"v"
    assert (store.state, store.reason) == ("up", "")


async def test_a_unix_socket_will_do(shared_redis: RedisServer, make_store: MakeStore) -> None:
    store = make_store(shared_redis.unix_url)
    await put(store, "k", "v")
    assert await get(store, "k") == b"v"


async def test_many_at_once_share_few_connections(shared_redis: RedisServer, make_store: MakeStore) -> None:
    store = make_store(shared_redis.url)
    await asyncio.gather(*(put(store, f"k{n}", f"v{n}") for n in range(300)))
    got = await asyncio.gather(*(get(store, f"k{n}") for n in range(300)))
    assert got == [f"v{n}".encode() for n in range(300)]
    with shared_redis.client() as client:
        assert len(client.client_list()) <= MOST_OPEN + 1


async def test_a_redis_that_is_not_there_is_down_and_why(make_store: MakeStore, redis_server: RedisServer) -> None:
    redis_server.kill()
    store = make_store(redis_server.url)
    await store.start()
    assert (store.state, store.reason) == ("down", "it cannot be reached: Connection refused")
    with pytest.raises(Absent, match="Connection refused"):
        await get(store, "k")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("unix:///nowhere/socket", "it cannot be reached: No such file or directory"),
        ("redis://localhost:1", "it cannot be reached"),
    ],
)
async def test_a_redis_that_cannot_be_found_is_down_and_why(make_store: MakeStore, url: str, reason: str) -> None:
    store = make_store(url)
    await store.start()
    assert store.state == "down"
    assert store.reason.startswith(reason)


async def test_it_is_taken_up_again_by_itself_and_each_change_is_logged_once(
    redis_server: RedisServer, make_store: MakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "voxgate")
    store = make_store(redis_server.url)
    await put(store, "k")
    redis_server.kill()
    for _ in range(20):
        with pytest.raises(Absent):
            await get(store, "k")
    assert store.state == "down"
    assert 1 <= store.failed <= 2  # the others were not even tried
    redis_server.start()
    await until(lambda: store.state == "up")
    assert await get(store, "k") is None
    gone, back = [record.message for record in caplog.records]
    assert "is not used" in gone
    assert "used again" in back


async def test_that_it_is_back_is_not_logged_as_part_of_the_request_that_lost_it(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    told: list[tuple[str, str]] = []
    listener = logging.Handler()
    listener.emit = lambda record: told.append((record.getMessage().partition(":")[0], REQUEST_ID.get()))  # type: ignore[method-assign]
    logging.getLogger("voxgate.redis").addHandler(listener)
    REQUEST_ID.set("the-request")
    try:
        store = make_store(redis_server.url)
        redis_server.kill()
        with pytest.raises(Absent):
            await get(store, "k")
        redis_server.start()
        await until(lambda: store.state == "up")
    finally:
        logging.getLogger("voxgate.redis").removeHandler(listener)
    assert told[-1] == ("Redis is used again", "")


async def test_a_paused_redis_costs_one_budget_and_then_nothing(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    store = make_store(redis_server.url, budget_ms=50)
    await store.start()
    redis_server.pause()
    with store.patience() as patience:
        with pytest.raises(Absent, match="in time"):
            await get(store, "k")
        assert patience.left_s <= 0
        left_s = patience.left_s
        for _ in range(5):
            with pytest.raises(Absent, match="no answer within 50 ms"):
                await get(store, "k")
        assert patience.left_s == left_s
    redis_server.resume()
    await until(lambda: store.state == "up")
    assert await get(store, "k") is None


async def test_one_slow_reply_among_quick_ones_is_absent_for_its_call_alone(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    store = make_store(shared_redis.url, budget_ms=50)
    await store.start()

    async def slow(ask: Ask) -> Any:
        return await ask("BLPOP", "nothing", 5)

    late = asyncio.create_task(store.call(slow, within_s=0.5))
    while not late.done():
        await get(store, "k", within_s=5)
    with pytest.raises(Absent):
        await late
    assert store.state == "up"
    with pytest.raises(Absent):
        await store.call(slow)
    assert store.state == "down"  # nobody else heard of it meanwhile


async def test_a_request_waits_for_all_its_calls_together(shared_redis: RedisServer, make_store: MakeStore) -> None:
    store = make_store(shared_redis.url)
    await store.start()

    async def slow(ask: Ask) -> None:
        await ask("PING")
        await asyncio.sleep(0.05)

    with store.patience() as patience:
        await store.call(slow)
        assert patience.left_s <= store.budget_s - 0.05
        patience.left_s = 0.02  # as after some more
        with pytest.raises(Absent):
            await store.call(slow)
        with pytest.raises(Absent, match="spent"):
            await store.call(slow)
    assert store.state == "up"  # it was never later than the budget
    await get(store, "k")  # a call outside has a budget of its own


async def test_a_reply_that_comes_late_is_never_read_by_another_call(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    store = make_store(redis_server.url, budget_ms=30)
    await store.start()
    for n in range(40):
        await put(store, f"k{n}", f"v{n}")
    for turn in range(10):
        redis_server.pause()
        calls = [asyncio.create_task(get(store, f"k{n}", within_s=0.02)) for n in range(40)]
        await asyncio.sleep(0)
        for task in calls[::3]:  # a client that leaves
            task.cancel()
        if turn % 2:  # the replies race with the end of the time
            redis_server.resume()
        late = await asyncio.gather(*calls, return_exceptions=True)
        redis_server.resume()
        assert all(isinstance(one, BaseException) or one == f"v{n}".encode() for n, one in enumerate(late))
        await until(lambda: store.state == "up")
        got = await asyncio.gather(*(get(store, f"k{n}", within_s=5) for n in range(40)))
        assert got == [f"v{n}".encode() for n in range(40)]


async def test_calls_under_way_are_absent_at_once_when_the_gateway_stops(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    store = make_store(shared_redis.url)
    await store.start()
    calls = [store.call(lambda ask: ask("BLPOP", "nothing", 60), within_s=60) for _ in range(MOST_OPEN + 4)]
    waiting = [asyncio.create_task(call) for call in calls]
    async with asyncio.timeout(20):
        while not store._pool.all_open:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await store.aclose()
    assert all(task.done() and isinstance(task.exception(), Absent) for task in waiting)
    with shared_redis.client() as client:
        await until(lambda: len(client.client_list()) == 1)


async def test_closing_does_not_wait_for_ever_for_a_call_that_does_not_end(
    shared_redis: RedisServer, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.redis.store.CLOSE_S", 0.01)
    store, begun, end = make_store(shared_redis.url), asyncio.Event(), asyncio.Event()
    discard = store._pool.discard

    async def hang(connection: Connection) -> None:
        begun.set()
        await end.wait()
        await discard(connection)

    monkeypatch.setattr(store._pool, "discard", hang)
    call = asyncio.create_task(store.call(lambda ask: ask("BLPOP", "nothing", 0), 60))
    with shared_redis.client() as client:
        await until(lambda: client.info("clients")["blocked_clients"] == 1)
    async with asyncio.timeout(20):
        await store.aclose()
    assert begun.is_set()
    assert not call.done()
    end.set()
    with pytest.raises(Absent):
        await call


async def test_what_fails_says_nothing_of_a_redis_that_has_come_back_since(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    store, begun, end = make_store(redis_server.url), asyncio.Event(), asyncio.Event()

    async def fails_late(ask: Ask) -> None:
        begun.set()
        await end.wait()
        await ask("PING")

    call = asyncio.create_task(store.call(fails_late, 60))
    await begun.wait()
    redis_server.kill()
    with pytest.raises(Absent):
        await get(store, "k")
    assert store.state == "down"
    redis_server.start()
    await until(lambda: store.state == "up")
    end.set()
    with pytest.raises(Absent):
        await call
    assert store.state == "up"


async def test_a_full_redis_is_read_and_says_so(make_redis: Callable[..., RedisServer], make_store: MakeStore) -> None:
    server = make_redis("maxmemory-policy noeviction")
    store = make_store(server.url)
    await store.start()
    await put(store, "k", "v")
    with server.client() as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(Absent, match="full"):
            await put(store, "k2")
        assert (store.state, store.reason[:5]) == ("up", "full:")
        assert await get(store, "k") == b"v"
        with pytest.raises(Absent, match="full"):
            await store.call(never, writes=True)
        client.config_set("maxmemory", 0)
    await until(lambda: not store.reason)
    await put(store, "k2")


async def test_a_replica_is_read_and_says_so(
    redis_server: RedisServer, make_redis: Callable[..., RedisServer], make_store: MakeStore
) -> None:
    replica = make_redis(f"replicaof 127.0.0.1 {redis_server.port}")
    store = make_store(replica.url)
    await store.start()
    assert (store.state, store.reason[:10]) == ("up", "read-only:")
    assert await get(store, "k") is None
    with pytest.raises(Absent, match="replica"):
        await put(store, "k")
    with replica.client() as client:
        client.replicaof("NO", "ONE")
    await until(lambda: not store.reason)


async def test_a_redis_that_cannot_write_to_its_disk_is_read_and_says_so(
    make_redis: Callable[..., RedisServer], make_store: MakeStore, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    server = make_redis("save 3600 1", f"dir {data}")
    store = make_store(server.url)
    await put(store, "k", "v")
    data.rmdir()
    with server.client() as client:
        client.bgsave()
        await until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
        with pytest.raises(Absent, match="disk"):
            await put(store, "k", "w")
        assert (store.state, store.reason[:11]) == ("up", "read-only: ")
        assert await get(store, "k") == b"v"
        client.config_set("stop-writes-on-bgsave-error", "no")
    await until(lambda: not store.reason)


async def test_a_user_without_permission_is_told_as_that(
    make_redis: Callable[..., RedisServer], make_store: MakeStore
) -> None:
    server = make_redis("user limited on >secret ~other:* +@all")
    url = server.url.replace("127.0.0.1", "limited@127.0.0.1")
    store = make_store(url, {"PASSWORD": "secret"}, password_env="PASSWORD")
    await store.start()
    assert (store.state, store.reason[:15]) == ("up", "not permitted: ")
    allowed = make_store(url, {"PASSWORD": "secret"}, password_env="PASSWORD", prefix="other:")
    await allowed.start()
    assert (allowed.state, allowed.reason) == ("up", "")


@pytest.mark.parametrize("by_socket", [False, True])
@pytest.mark.parametrize("environ", [{}, {"PASSWORD": "wrong"}])
async def test_a_wrong_password_is_told_without_it(
    make_redis: Callable[..., RedisServer],
    make_store: MakeStore,
    environ: dict[str, str],
    by_socket: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = make_redis("requirepass right-and-secret")
    store = make_store(server.unix_url if by_socket else server.url, environ, password_env="PASSWORD")
    await store.start()
    assert store.state == "down"
    assert "redis.password_env" in store.reason
    assert "wrong" not in caplog.text
    assert str(server.port) not in caplog.text


async def test_the_password_comes_from_the_environment(
    make_redis: Callable[..., RedisServer], make_store: MakeStore
) -> None:
    server = make_redis("requirepass right-and-secret")
    store = make_store(server.url, {"PASSWORD": "right-and-secret"}, password_env="PASSWORD")
    await put(store, "k", "v")
    assert await get(store, "k") == b"v"


async def test_a_script_is_sent_again_to_a_redis_that_forgot_it(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    store = make_store(redis_server.url)
    add = store.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert await add(["n"], [2]) == 2
    with redis_server.client() as client:
        client.script_flush()
    assert await add(["n"], [3]) == 5


async def test_an_answer_of_the_wrong_kind_is_absent_for_this_call_alone(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    store = make_store(shared_redis.url)
    with shared_redis.client() as client:
        client.rpush("list", "x")
        client.set("word", "not a number")
    with pytest.raises(Absent):
        await get(store, "list")

    async def number(ask: Ask) -> int:
        return int(await ask("GET", "word"))

    with pytest.raises(Absent):
        await store.call(number)
    assert store.state == "up"
    assert await get(store, "word") == b"not a number"


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+PONG\r\n" * 9, b"\x00\xff" * 50, b""])
async def test_a_server_that_answers_nonsense_is_down(make_store: MakeStore, says: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        store = make_store(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await store.start()
        assert store.state == "down"
        with pytest.raises(Absent):
            await get(store, "k")


async def test_a_visit_tells_of_a_server_that_says_yes_to_all_as_the_gateway_does(make_store: MakeStore) -> None:
    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(b"+OK\r\n" * 20)
        writer.close()

    async with await asyncio.start_server(agree, "127.0.0.1", 0) as server:
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        store = make_store(url)
        await store.start()
        assert store.state == "down"
        assert (await visit(Settings(url=url), {})).fault == store.reason == "what answers is no Redis"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("LOADING Redis is loading the dataset in memory", "it is loading its data"),
        ("BUSY Redis is busy running a script", "it is busy with a script"),
        ("MASTERDOWN Link with MASTER is down", "it is a replica that has lost its primary"),
        ("MOVED 3999 10.0.0.9:6381", "it is a cluster: "),
        ("CLUSTERDOWN Hash slot not served", "it is a cluster: "),
        ("NOAUTH Authentication required.", "it wants a password, "),
    ],
)
async def test_a_server_that_can_do_nothing_now_is_down_and_why(make_store: MakeStore, error: str, reason: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeted = False
        while True:
            try:
                line = await reader.readline()
            except ConnectionError:
                line = b""
            if not line:
                writer.close()
                over.set()
                return
            if line.startswith(b"*"):  # a command begins
                writer.write(b"-" + error.encode() + b"\r\n" if greeted else b"%1\r\n$5\r\nproto\r\n:3\r\n")
                greeted = True

    over = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        store = make_store(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(Absent):
            await get(store, "k")
        assert store.state == "down"
        assert store.reason.startswith(reason)
        await over.wait()  # whatever went wrong on a connection, it is not used again
        over.clear()
        assert (await store._probe()).reason == store.reason
        await over.wait()
        await store.aclose()
