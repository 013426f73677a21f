"""Hits of a clip that only Redis holds: what one costs the gateway, without limits and with all of them."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from bench.configuration import FILES, write_configuration
from bench.hits import cores, filled, load_round
from bench.redis_server import NoRedis, RedisServer
from bench.report import Figure
from bench.server import start_gateway

#: 3,000 hits a second on one core
CPU_AIM_US = 1e6 / 3000
LIMITS = {
    "requests_per_minute": 10**9,
    "characters_per_minute": 10**9,
    "audio_seconds_per_day": 10**9,
    "in_flight": 10**6,
}


def measure_shared(folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """Rounds with a gateway that has no limits and one that has, in turn. Nothing where there is no redis-server."""
    try:
        with RedisServer(folder / "redis") as redis:
            return _measure(folder, redis.url, rounds, seconds)
    except NoRedis as reason:
        print(f"hits from Redis are not measured: {reason}")
        return []


def _measure(folder: Path, url: str, rounds: int, seconds: float) -> list[Figure]:
    shared = f"{FILES['gateway.yaml']}redis: {{url: '{url}', budget_ms: 500}}\ncache: {{memory_mb: 0}}\n"
    plain = write_configuration(folder / "shared", {"gateway.yaml": shared})
    limited = write_configuration(folder / "limited", {"gateway.yaml": f"{shared}limits: {json.dumps(LIMITS)}\n"})
    server_core, load_core = cores()
    figures: list[Figure] = []
    with start_gateway(plain, folder) as one, start_gateway(limited, folder) as other:
        for gateway in (one, other):
            filled(gateway.port)
            gateway.pin({server_core})
        for connections in (1, 32):
            group = f"Hits from Redis, {connections} connection{'s' if connections > 1 else ''}"
            pairs = [
                [load_round(gateway, load_core, connections, seconds) for gateway in (one, other)]
                for _ in range(rounds)
            ]
            for which, words in enumerate(("", ", with limits")):
                cpu_us = statistics.median(pair[which]["cpu_us"] for pair in pairs)
                aim = CPU_AIM_US if connections > 1 and not which else None
                figures += [
                    Figure(group, f"CPU a hit{words}", cpu_us, "µs", aim),
                    Figure(group, f"hits/s per core{words}", 1e6 / cpu_us, "1/s"),
                    Figure(group, f"p50{words}", statistics.median(pair[which]["p50_ms"] for pair in pairs), "ms"),
                ]
    return figures
