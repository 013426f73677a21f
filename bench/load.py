"""The load, in its own process: `python -m bench.load PORT CONNECTIONS SECONDS`, the request on stdin, JSON out."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time

import uvloop

from bench.client import Hitter


async def load(port: int, connections: int, seconds: float, request: bytes) -> dict[str, float]:
    """Repeat `request` over so many connections for so long."""
    loop = asyncio.get_running_loop()
    began_s = time.perf_counter()
    pairs = [await loop.create_connection(lambda: Hitter(request), "127.0.0.1", port) for _ in range(connections)]
    hitters = [hitter for _, hitter in pairs]
    ended = asyncio.gather(*(hitter.done for hitter in hitters))
    await asyncio.wait([ended], timeout=seconds)  # back early only when an answer was bad
    for hitter in hitters:
        hitter.stop()
    await asyncio.wait_for(ended, 10)
    took_s = time.perf_counter() - began_s
    latencies_ms = sorted(1000 * one for hitter in hitters for one in hitter.latencies_s)
    cuts = statistics.quantiles(latencies_ms, n=100)
    return {"requests": len(latencies_ms), "seconds": took_s, "p50_ms": cuts[49], "p99_ms": cuts[98]}


def main() -> None:
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    print(json.dumps(uvloop.run(load(port, connections, seconds, sys.stdin.buffer.read()))))


if __name__ == "__main__":
    main()
