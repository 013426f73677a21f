"""Cache hits: what one costs the gateway, beside what the same bytes cost a bare Litestar application in one run."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from bench.client import Listener, post
from bench.report import Figure
from bench.server import Server, free_port

#: 32 words, which the configured tone speaks in 12.8 s: about 100 kB
TEXT = " ".join(["the quick brown fox jumps over the dog"] * 4)
REQUEST = post("/v1/speech", {"input": TEXT, "model": "auto", "response_format": "mp3"})

#: the gateway's CPU for a hit, over the bare application's
RATIO_AIM = 1.4


def measure_hits(gateway: Server, folder: Path, rounds: int, seconds: float) -> list[Figure]:
    """Rounds A B A B, each pinned to one core with the load on another where the system lets us."""
    clip = filled(gateway.port)
    (folder / "clip.mp3").write_bytes(clip)
    port = free_port()
    arguments = ["-m", "uvicorn", "bench.bare:app", "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    arguments += ["--no-access-log", "--log-level", "warning"]
    figures = [Figure("Cache hits", "clip", len(clip) / 1000, "kB")]
    with Server(arguments, port, folder / "bare.log", {"BENCH_CLIP": str(folder / "clip.mp3")}) as bare:
        server_core, load_core = cores()
        for server in (gateway, bare):
            server.pin({server_core})
            load_round(server, load_core, 32, min(seconds, 1.0))  # warm up
        for connections in (1, 32):
            taken = [
                (
                    load_round(gateway, load_core, connections, seconds),
                    load_round(bare, load_core, connections, seconds),
                )
                for _ in range(rounds)
            ]
            figures += _figures(connections, taken)
        gateway.pin(set(range(os.cpu_count() or 1)))
    return figures


def cores() -> tuple[int, int]:
    """One core for the server and another for the load; the same one where there is no other."""
    if not hasattr(os, "sched_getaffinity"):
        return 0, 0
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def filled(port: int) -> bytes:
    """Ask until the clip comes from the cache; the clip. Raises RuntimeError when it never does."""
    return asyncio.run(_filled(port))


async def _filled(port: int) -> bytes:
    listener = Listener(port)
    try:
        for _ in range(50):
            answer = await listener.ask(REQUEST)
            if answer.headers.get("x-voxgate-cache") == "hit":
                return answer.body
            await asyncio.sleep(0.05)
    finally:
        await listener.close()
    raise RuntimeError(f"the clip never came from the cache: {dict(answer.headers)}")


def load_round(server: Server, load_core: int, connections: int, seconds: float) -> dict[str, float]:
    """One load of hits; its figures, and the server's CPU in µs a hit. Raises RuntimeError when an answer was bad."""

    def pin() -> None:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {load_core})

    command = [sys.executable, "-m", "bench.load", str(server.port), str(connections), str(seconds)]
    before_s = server.cpu_s()
    ran = subprocess.run(command, input=REQUEST, capture_output=True, check=False, preexec_fn=pin)
    cpu_s = server.cpu_s() - before_s
    if ran.returncode:
        raise RuntimeError(ran.stderr.decode(errors="replace")[-2000:])
    result: dict[str, float] = json.loads(ran.stdout)
    return {**result, "cpu_us": 1e6 * cpu_s / result["requests"], "rate": result["requests"] / result["seconds"]}


def _figures(connections: int, taken: list[tuple[dict[str, float], ...]]) -> list[Figure]:
    def middle(which: int, key: str) -> float:
        return statistics.median(pair[which][key] for pair in taken)

    group = f"Cache hits, {connections} connection{'s' if connections > 1 else ''}"
    ratio = statistics.median(ours["cpu_us"] / bare["cpu_us"] for ours, bare in taken)
    return [
        Figure(group, "CPU a hit", middle(0, "cpu_us"), "µs"),
        Figure(group, "CPU a hit, bare Litestar", middle(1, "cpu_us"), "µs"),
        Figure(group, "CPU over bare Litestar", ratio, "times", RATIO_AIM),
        Figure(group, "hits/s per core", 1e6 / middle(0, "cpu_us"), "1/s"),
        Figure(group, "hits/s per core, bare Litestar", 1e6 / middle(1, "cpu_us"), "1/s"),
        Figure(group, "hits/s in this run", middle(0, "rate"), "1/s"),
        Figure(group, "hits/s in this run, bare Litestar", middle(1, "rate"), "1/s"),
        Figure(group, "p50", middle(0, "p50_ms"), "ms"),
        Figure(group, "p50, bare Litestar", middle(1, "p50_ms"), "ms"),
        Figure(group, "p99", middle(0, "p99_ms"), "ms"),
        Figure(group, "p99, bare Litestar", middle(1, "p99_ms"), "ms"),
    ]
