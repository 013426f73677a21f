"""One command: `python -m bench [--quick] [GROUP …]`. Prints a table for people, and JSON on the last line."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bench.added import measure_added
from bench.client import BadAnswer
from bench.configuration import write_configuration
from bench.decisions import measure_decisions
from bench.fallback import measure_fallback
from bench.hits import cores, measure_hits
from bench.misses import measure_misses
from bench.overload import measure_overload
from bench.remote import measure_remote
from bench.report import Figure, as_json, table
from bench.server import NotStarted, start_gateway
from bench.shared import measure_shared
from bench.streams import measure_streams

READY_AIM_S = 1.5
RSS_AIM_MB = 120.0


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    rounds: int
    seconds: float
    count: int
    starts: int
    overload_s: float


QUICK, FULL = Extent(2, 1.0, 30, 2, 5.0), Extent(6, 3.0, 200, 5, 60.0)


def start(folder: Path, extent: Extent) -> list[Figure]:
    """How long until the gateway can speak."""
    config, ready_s = write_configuration(folder / "start"), []
    for _ in range(extent.starts):
        with start_gateway(config, folder) as gateway:
            ready_s.append(gateway.ready_s)
    return [
        Figure("Start", "until /readyz is 200, median", statistics.median(ready_s), "s", READY_AIM_S),
        Figure("Start", "until /readyz is 200, slowest", max(ready_s), "s"),
    ]


def one_gateway(folder: Path, extent: Extent) -> list[Figure]:
    """Hits and misses of one gateway, and the memory that it takes meanwhile."""
    with start_gateway(write_configuration(folder / "config"), folder) as gateway:
        memory = [Figure("Memory", "gateway after start", gateway.rss_mb(), "MB", RSS_AIM_MB)]
        figures = measure_hits(gateway, folder, extent.rounds, extent.seconds)
        for name in ("tone", "espeak"):
            figures += asyncio.run(measure_misses(gateway, folder / "direct", name, extent.count))
        figures += asyncio.run(measure_added(gateway, folder / "direct", extent.count))
        memory += [
            Figure("Memory", "gateway after the load", gateway.rss_mb(), "MB", RSS_AIM_MB),
            Figure("Memory", "workers after the load", gateway.workers_rss_mb(), "MB"),
        ]
    return figures + memory


GROUPS: dict[str, Callable[[Path, Extent], list[Figure]]] = {
    "start": start,
    "gateway": one_gateway,
    "redis": lambda folder, extent: measure_shared(folder, extent.rounds, extent.seconds),
    "decisions": lambda folder, _: measure_decisions(folder),
    "fallback": lambda folder, _: measure_fallback(folder),
    "streams": lambda folder, _: measure_streams(folder),
    "remote": lambda folder, extent: measure_remote(folder, extent.count),
    "overload": lambda folder, extent: measure_overload(folder, extent.overload_s),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute instead of five; noisier")
    parser.add_argument("group", nargs="*", choices=[[], *GROUPS], help=f"of {', '.join(GROUPS)}; default: all")
    arguments = parser.parse_args()
    began_s = time.perf_counter()
    figures: list[Figure] = []
    for name in arguments.group or GROUPS:
        with tempfile.TemporaryDirectory(prefix="voxgate-bench-") as folder:
            try:
                figures += GROUPS[name](Path(folder), QUICK if arguments.quick else FULL)
            except (NotStarted, BadAnswer, RuntimeError) as error:
                print(f"bench: {name}: {error}", file=sys.stderr)
                return 1
    conditions: dict[str, object] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "server_core_and_load_core": cores(),
        **{name: version(name) for name in ("litestar", "uvicorn", "uvloop", "httptools", "redis")},
        "quick": arguments.quick,
        "took_s": round(time.perf_counter() - began_s, 1),
    }
    print(table(figures))
    print()
    print(as_json(figures, conditions))
    return 0


if __name__ == "__main__":
    sys.exit(main())
