"""Gateways that share a Redis, over HTTP: what one has said the other finds, and speech goes on whatever Redis does."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.gateway.http.conftest import GATEWAY, Gateway
from tests.redis_at_hand import RedisServer, free_port

StartGateway = Callable[..., Gateway]


def on_redis(url: str, more: str = "", budget_ms: int = 2000) -> str:
    """The budget is larger than in earnest: a machine that runs tests may be slower than any Redis."""
    return f"{GATEWAY}redis: {{url: '{url}', budget_ms: {budget_ms}}}\n{more}"


def eventually(holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while not (held := holds()) and time.monotonic() < until:
        time.sleep(0.01)
    return held


def redis_of(gateway: Gateway) -> dict[str, Any]:
    answer = gateway.client.get("/readyz")
    assert answer.status_code == 200  # whatever Redis does
    return answer.json()["redis"]


def written(server: RedisServer, pattern: str) -> int:
    with server.client() as client:
        return len(client.keys(pattern))


def test_a_clip_that_one_gateway_made_is_heard_from_the_other(shared_redis: RedisServer, server: StartGateway) -> None:
    one, other = server(gateway=on_redis(shared_redis.url)), server(gateway=on_redis(shared_redis.unix_url))
    made = one.speech(response_format="wav", stream=False)
    assert made.headers["x-voxgate-cache"] == "miss"
    assert eventually(lambda: written(shared_redis, "voxgate:clip:*") == 1)
    heard = other.speech(response_format="wav", stream=False)
    assert heard.headers["x-voxgate-cache"] == "hit"
    assert heard.headers["x-voxgate-engine"] == "tone"
    assert len(heard.content) > 10_000


def test_the_outcome_is_found_from_the_other_gateway(shared_redis: RedisServer, server: StartGateway) -> None:
    one, other = server(gateway=on_redis(shared_redis.url)), server(gateway=on_redis(shared_redis.url))
    for cache in ("miss", "hit"):
        request_id = one.speech().headers["x-request-id"]
        assert eventually(lambda name=request_id: written(shared_redis, f"voxgate:outcome:{name}") == 1)
        assert eventually(lambda name=request_id: other.client.get(f"/v1/speech/{name}").json()["complete"])
        told = other.client.get(f"/v1/speech/{request_id}").json()
        assert told == one.client.get(f"/v1/speech/{request_id}").json()
        assert (told["cache"], told["engine"]) == (cache, "tone")


def test_a_request_that_runs_is_seen_from_the_other_gateway(shared_redis: RedisServer, server: StartGateway) -> None:
    other = server(gateway=on_redis(shared_redis.url))
    one = server(
        gateway=on_redis(shared_redis.url),
        engines="version: 1\nengines:\n  only: {kind: probe, does: silent}\n",
        voices="version: 1\ndefault: v\nvoices:\n  v: {engines: {only: probe}}\n",
        policies="version: 1\nrules:\n  - {name: all, use: [only]}\n",
    )

    with one.connection() as connection:
        body = b'{"input": "on and on"}'
        connection.sendall(b"POST /v1/speech HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert eventually(lambda: written(shared_redis, "voxgate:outcome:*") == 1)
        with shared_redis.client() as client:
            request_id = client.keys("voxgate:outcome:*")[0].decode().rpartition(":")[2]
        assert other.client.get(f"/v1/speech/{request_id}").json()["state"] == "running"
    assert eventually(lambda: other.client.get(f"/v1/speech/{request_id}").json()["state"] == "cancelled")


@pytest.mark.parametrize("gone", ["refused", "nonsense", "silent"])
def test_a_redis_that_is_of_no_use_from_the_start_keeps_nobody_from_speaking(server: StartGateway, gone: str) -> None:
    with useless_server(gone) as port:
        gateway = server(gateway=on_redis(f"redis://127.0.0.1:{port}"))
        assert gateway.speech().status_code == 200
        assert gateway.speech().headers["x-voxgate-cache"] == "hit"
        told = redis_of(gateway)
        assert told["state"] == "down"
        assert told["reason"]
        assert str(port) not in json.dumps(gateway.client.get("/readyz").json())


def test_a_paused_redis_is_waited_for_once_and_taken_up_again(redis_server: RedisServer, server: StartGateway) -> None:
    gateway = server(gateway=on_redis(redis_server.url, budget_ms=200))
    store = gateway.runtime.store
    assert store is not None
    assert gateway.speech().headers["x-voxgate-cache"] == "miss"
    assert eventually(lambda: redis_of(gateway) == {"state": "up", "reason": None})
    waits = list[Any]()
    call = store.call

    async def counted(command: Any, within_s: float | None = None, **how: Any) -> Any:
        if within_s is None and store.state == "up":
            waits.append(command)  # of a request, which waits `budget_ms` for it at most
        return await call(command, within_s, **how)

    store.call = counted  # type: ignore[method-assign]
    redis_server.pause()
    try:
        assert gateway.speech(input="another text").status_code == 200
        assert len(waits) == 1
        assert redis_of(gateway)["state"] == "down"
        assert gateway.speech(input="a third text").status_code == 200
        assert gateway.speech().headers["x-voxgate-cache"] == "hit"
        assert len(waits) == 1
    finally:
        redis_server.resume()
    assert eventually(lambda: redis_of(gateway)["state"] == "up")
    assert gateway.speech(input="a fourth text").status_code == 200
    assert len(waits) > 1


def test_speech_goes_on_while_redis_is_killed_and_comes_back_empty(
    redis_server: RedisServer, server: StartGateway
) -> None:
    gateway = server(gateway=on_redis(redis_server.url, "cache: {memory_mb: 0}\n"))
    stop, said = threading.Event(), list[httpx.Response]()

    def speak(worker: int) -> None:
        with httpx.Client(base_url=gateway.url, timeout=20) as client:
            for turn in range(10_000):
                if stop.is_set():
                    return
                said.append(client.post("/v1/speech", json={"input": f"text {worker} {turn // 2}"}))

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(speak, worker) for worker in range(4)]
        try:
            for _ in range(2):
                spoken = len(said)
                assert eventually(lambda past=spoken: len(said) > past + 8)
                redis_server.kill()
                assert eventually(lambda: redis_of(gateway)["state"] == "down")
                spoken = len(said)
                assert eventually(lambda past=spoken: len(said) > past + 8)
                redis_server.start()
                assert eventually(lambda: redis_of(gateway)["state"] == "up")
        finally:
            stop.set()
    for worker in workers:
        worker.result()
    assert {one.status_code for one in said} == {200}
    assert min(len(one.content) for one in said) > 1000
    assert eventually(lambda: gateway.speech().headers["x-voxgate-cache"] == "hit")


def test_a_full_redis_and_a_replica_are_read_and_say_so(redis_server: RedisServer, server: StartGateway) -> None:
    gateway = server(gateway=on_redis(redis_server.url, "cache: {memory_mb: 0}\n"))
    gateway.speech()
    assert eventually(lambda: written(redis_server, "voxgate:clip:*") == 1)
    with redis_server.client() as client:
        client.config_set("maxmemory", 1)
        assert gateway.speech(input="another text").status_code == 200
        assert eventually(lambda: str(redis_of(gateway)["reason"]).startswith("full: "))
        assert redis_of(gateway)["state"] == "up"
        assert gateway.speech().headers["x-voxgate-cache"] == "hit"
        client.config_set("maxmemory", 0)
        assert eventually(lambda: redis_of(gateway)["reason"] is None)
        client.replicaof("127.0.0.1", free_port())
        assert gateway.speech(input="a third text").status_code == 200
        assert eventually(lambda: str(redis_of(gateway)["reason"]).startswith("read-only: "))


@contextmanager
def useless_server(kind: str) -> Iterator[int]:
    """A port where nobody listens, where somebody talks nonsense, or where nobody answers."""
    if kind == "refused":
        yield free_port()
        return
    with socket.create_server(("127.0.0.1", 0)) as listening:
        if kind == "nonsense":

            def babble() -> None:
                while True:
                    try:
                        connection, _ = listening.accept()
                    except OSError:
                        return
                    with connection:
                        connection.sendall(b"\x00HTTP/1.1 418\r\n" * 3)

            threading.Thread(target=babble, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
