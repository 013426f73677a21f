"""Ten times the requests that the engine can serve: who is accepted in time, how quickly the rest are told, what stays.

The load is open: requests come at their times, whether or not others were answered, each over a connection of its own.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import Listener, post
from bench.configuration import write_configuration
from bench.report import Figure
from bench.server import Server, start_gateway

#: half of the time that its audio lasts, on four slots: with texts of 0.96 s, 8.3 requests a second
SLOTS, WORK_S = 4, 0.48
CAPACITY = SLOTS / WORK_S
TIMES, DEADLINE_S = 10, 3.0
FILES = {
    "engines.yaml": f"version: 1\nengines:\n  tone: {{kind: tone, slots: {SLOTS}, queue: 16, real_time_factor: 0.5}}\n",
    "policies.yaml": "version: 1\nrules: [{name: all, use: [tone]}]\n",
}
#: share of the accepted that must not be late, as the share that may be; milliseconds of the others
LATE_AIM_PERCENT, LIVEZ_AIM_MS = 1.0, 50.0


@dataclass
class Counts:
    """What became of the requests: seconds to the last byte."""

    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    refused_early_s: list[float] = field(default_factory=list)  # what `retry-after` said
    other: list[str] = field(default_factory=list)
    livez_s: list[float] = field(default_factory=list)


def measure_overload(folder: Path, seconds: float) -> list[Figure]:
    """Load for so many seconds, after one second of warming up."""
    config = write_configuration(folder / "overload", FILES)
    with start_gateway(config, folder) as gateway:
        asyncio.run(_load(gateway, 1.0, 1))
        before_mb, cpu_s = gateway.rss_mb(), gateway.cpu_s()
        counts, peak_mb = asyncio.run(_load(gateway, seconds, TIMES))
        cpu_s = gateway.cpu_s() - cpu_s
    if counts.other:
        raise RuntimeError(f"{len(counts.other)} answers are neither audio nor a 503, such as {counts.other[0]}")
    late = sum(took_s > DEADLINE_S for took_s in counts.accepted_s)
    group = f"Overload, {TIMES} times the capacity for {seconds:.0f} s"
    return [
        Figure(group, "requests", len(counts.accepted_s) + len(counts.refused_s), ""),
        Figure(group, "served, over the engine's capacity", len(counts.accepted_s) / (CAPACITY * seconds), "times"),
        Figure(group, "served later than their deadline", 100 * late / len(counts.accepted_s), "%", LATE_AIM_PERCENT),
        Figure(group, "a 503 comes after, p50", 1000 * statistics.median(counts.refused_s), "ms"),
        Figure(group, "a 503 comes after, p99", 1000 * _p99(counts.refused_s), "ms"),
        Figure(group, "its retry-after, p50", statistics.median(counts.refused_early_s), "s"),
        Figure(group, "/livez, p99", 1000 * _p99(counts.livez_s), "ms"),
        Figure(group, "/livez, slowest", 1000 * max(counts.livez_s), "ms", LIVEZ_AIM_MS),
        Figure(group, "gateway's memory grows by", peak_mb - before_mb, "MB"),
        Figure(group, "gateway's CPU", 100 * cpu_s / seconds, "%"),
    ]


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else values[0]


async def _load(gateway: Server, seconds: float, times: int) -> tuple[Counts, float]:
    counts, loop, peak_mb = Counts(), asyncio.get_running_loop(), 0.0
    began_s = loop.time()
    watching = asyncio.create_task(_watch(gateway.port, counts))
    asking: set[asyncio.Task[None]] = set()
    for number in range(round(CAPACITY * times * seconds)):
        await asyncio.sleep(max(0.0, began_s + number / (CAPACITY * times) - loop.time()))
        text = f"load{began_s:.0f}x{number} two three four five six seven eight"
        asking.add(asyncio.create_task(_ask(gateway.port, text, counts)))
        if number % 50 == 0:
            peak_mb = max(peak_mb, gateway.rss_mb())
    await asyncio.gather(*asking)
    watching.cancel()
    return counts, max(peak_mb, gateway.rss_mb())


async def _ask(port: int, text: str, counts: Counts) -> None:
    body = {"input": text, "response_format": "pcm", "deadline_ms": round(DEADLINE_S * 1000)}
    listener = Listener(port)
    began_s = time.perf_counter()
    try:
        answer = await listener.ask(post("/v1/speech", body), any_status=True)
    finally:
        await listener.close()
    took_s = time.perf_counter() - began_s
    if answer.status == 200:
        counts.accepted_s.append(took_s)
    elif answer.status == 503 and "retry-after-ms" in answer.headers:
        counts.refused_s.append(took_s)
        counts.refused_early_s.append(int(answer.headers["retry-after-ms"]) / 1000)
    else:
        counts.other.append(f"{answer.status} {answer.body[:200]!r}")


async def _watch(port: int, counts: Counts) -> None:
    """Ask whether it is alive, twenty times a second, as a probe does: over a new connection."""
    while True:
        listener = Listener(port)
        began_s = time.perf_counter()
        await listener.ask(b"GET /livez HTTP/1.1\r\nhost: bench\r\n\r\n")
        counts.livez_s.append(time.perf_counter() - began_s)
        await listener.close()
        await asyncio.sleep(0.05)
