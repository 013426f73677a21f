"""Tries a Redis out: does one new connection do all that is asked of one. Remembers nothing."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from redis.asyncio.connection import AbstractConnection

from gateway.configuration.settings import Redis as Settings
from gateway.redis.connection import Connection
from gateway.redis.faults import NONSENSE, UNGREETED, Fault, judge
from gateway.redis.pool import connecting

#: milliseconds after which Redis takes away what a probe has written
PROBE_MS = 5000
#: the oldest version that is supported
OLDEST = (6, 2)
#: seconds that a visit gives to Redis, and commands whose time is taken on it
VISIT_S, TIMED = 2.0, 9


async def probe(
    connect: Callable[[], AbstractConnection], within_s: float, prefix: str
) -> tuple[Connection | None, Fault | None]:
    """A connection that did all within `within_s`, or could only not write; and what is wrong, None: nothing."""
    try:
        connection = Connection(connect())
        await connection.open()
    except Exception as error:
        return None, of_opening(error)
    try:
        async with asyncio.timeout(within_s):
            return connection, await _try_out(connection, f"{prefix}probe:{uuid.uuid4().hex}")
    except TimeoutError:
        fault = no_answer(within_s)
    except Exception as error:
        fault = judge(error)
    await connection.close()
    return None, fault


@dataclass(frozen=True, slots=True)
class Visit:
    """What `voxgate doctor` tells of a Redis. `version` is empty when it was not reached."""

    version: tuple[int, ...] = ()
    answers_ms: float = 0.0  # usually
    fault: str = ""


async def visit(settings: Settings, environ: Mapping[str, str]) -> Visit:
    """Go there once, with more patience than a request has."""
    connection, fault = await probe(connecting(settings, environ), VISIT_S, settings.prefix)
    reason = fault.reason if fault else ""
    if connection is None:
        return Visit(fault=reason)
    try:
        async with asyncio.timeout(VISIT_S):
            version = re.search(r"redis_version:(\d+)\.(\d+)\.(\d+)", (await connection.ask("INFO", "server")).decode())
            numbers = tuple(map(int, version.groups())) if version else ()
            return Visit(numbers, await _measure(connection), reason)
    except Exception as error:
        return Visit(fault=reason or judge(error).reason)
    finally:
        await connection.close()


async def _measure(connection: Connection) -> float:
    """Milliseconds that it usually takes to answer."""
    loop = asyncio.get_running_loop()
    taken_s = []
    for _ in range(TIMED):
        began_s = loop.time()
        await connection.ask("PING")
        taken_s.append(loop.time() - began_s)
    return median(taken_s) * 1000


def of_opening(error: Exception) -> Fault:
    """Whatever goes wrong while one is opened, there is none."""
    fault = judge(error)
    return fault if fault.extent == "gone" else Fault("gone", UNGREETED)


def no_answer(within_s: float) -> Fault:
    """The fault of a Redis that lets everybody wait."""
    return Fault("gone", f"no answer within {within_s * 1000:.0f} ms")


async def _try_out(connection: Connection, key: str) -> Fault | None:
    token = key.encode()
    commands = ("PING",), ("SET", key, token, "PX", PROBE_MS), ("GET", key), ("EVAL", "return 1", 0)
    answers = await connection.ask_all(*commands)
    faults = [judge(answer) for answer in answers if isinstance(answer, Exception)]
    if faults:
        return next((fault for fault in faults if fault.extent == "gone"), Fault("refused", faults[0].reason))
    return None if answers == [b"PONG", b"OK", token, 1] else NONSENSE
