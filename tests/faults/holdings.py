"""What a gateway holds: compared before a fault and after it, nothing may be left."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.faults.hearing import DEADLINE_S, ask, judge
from tests.gateway.http.conftest import Gateway
from tests.redis_at_hand import RedisServer

Holdings = dict[str, Any]


@contextmanager
def nothing_left(gateway: Gateway, server: RedisServer | None = None, own_files: Any = lambda: 0) -> Iterator[None]:
    """Around a fault: fails when anything more is held after it than before, or when the next request is not served.

    `own_files` counts files that the test itself has open.
    """
    serve_another(gateway)  # what is made at the first request is not left by the fault
    before = settle(gateway, server, own_files)
    yield
    settle(gateway, server, own_files, before)
    serve_another(gateway)
    settle(gateway, server, own_files, before)


def serve_another(gateway: Gateway) -> None:
    """An ordinary request, of an engine that is well."""
    heard = ask(gateway, "One two three.")
    assert judge(gateway, heard, 3) == "whole", heard


def settle(
    gateway: Gateway, server: RedisServer | None = None, own_files: Any = lambda: 0, before: Holdings | None = None
) -> Holdings:
    """Wait until as much is held as before; without that, until nothing is that a request needs."""
    until = time.monotonic() + DEADLINE_S
    while True:
        now = held(gateway, server, own_files)
        more = _more(now, before) if before else {name: now[name] for name in AT_REST if now[name] != AT_REST[name]}
        if not more:
            return now
        assert time.monotonic() < until, more
        time.sleep(0.01)


def is_settled(gateway: Gateway, server: RedisServer | None, own_files: Any, before: Holdings) -> bool:
    return not _more(held(gateway, server, own_files), before)


AT_REST: Holdings = {
    "requests": 0, "flights": False, "places": 0, "leases": 0, "calls by the side": 0, "clips being written": 0,
    "calls to Redis": 0, "Redis": "", "engines leaving": 0, "engines coming": 0,
}  # fmt: skip


def _more(now: Holdings, before: Holdings) -> Holdings:
    differing = {name: (before[name], now[name]) for name in before if now[name] != before[name]}
    # fewer files than before: something of an earlier test was closed meanwhile
    if "files" in differing and now["files"] < before["files"]:
        del differing["files"]
    return differing


def held(gateway: Gateway, server: RedisServer | None, own_files: Any) -> Holdings:
    """All that is held now, by name."""
    leases = {"leases": _leases(server)}
    return leases | asyncio.run_coroutine_threadsafe(_look(gateway, own_files), gateway.loop).result(DEADLINE_S)


async def _look(gateway: Gateway, own_files: Any) -> Holdings:
    runtime = gateway.runtime
    limiter, store, fleet = runtime.limiter, runtime.store, runtime.fleet
    tasks = Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks() if task is not asyncio.current_task())  # type: ignore[union-attr]
    pool = store._pool if store else None
    engines = {
        name: (member.row.state, member.state.busy, member.state.queued, member.users, len(member.row.line._between))
        for name, member in fleet.members.items()
    }
    workers = [getattr(member.guarded.engine, "pid", None) for member in fleet.members.values()]
    return {
        "requests": runtime.in_flight,
        "engines": engines,
        "engines leaving": len(fleet._leaving),
        "engines coming": len(fleet._successors),
        "workers": [bool(pid and psutil.pid_exists(pid)) for pid in workers],
        "flights": not runtime.flights.idle,
        "places": sum(map(len, limiter._own._leases_us.values())),
        "calls by the side": len(limiter._aside),
        "clips being written": len(runtime.cache._writing),
        "calls to Redis": len(store._waits) + len(pool._waiting) + len(pool._opening) if store and pool else 0,
        "Redis": store.reason if store else "",
        "tasks": tasks,
        # connections to Redis stay open, as many as were needed at once
        "files": len(os.listdir("/proc/self/fd")) - (pool.open if pool else 0) - own_files(),
    }


def _leases(server: RedisServer | None) -> int | None:
    """Places that are held in Redis; None while it does not answer."""
    if server is None:
        return 0
    try:
        path, once = str(server.folder / "socket"), Retry(NoBackoff(), 0)
        with redis.Redis(unix_socket_path=path, socket_timeout=1, retry=once) as client:
            places: list[int] = [client.zcard(key) for key in client.keys("*:in-flight")]
            return sum(places)
    except redis.RedisError:
        return None
