"""One command: `python -m bench [--quick]`. Prints a table for people, and JSON on the last line."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from bench.configuration import write_configuration
from bench.hits import cores, measure_hits
from bench.misses import measure_misses
from bench.report import Figure, as_json, table
from bench.server import NotStarted, Server, free_port

READY_AIM_S = 1.5
RSS_AIM_MB = 120.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about 20 s instead of 2 minutes; noisier")
    quick = parser.parse_args().quick
    rounds, seconds, count, starts = (2, 1.0, 30, 2) if quick else (6, 3.0, 200, 5)
    began_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="voxgate-bench-") as name:
        folder = Path(name)
        config = write_configuration(folder / "config")
        try:
            figures = _measure(config, folder, rounds, seconds, count, starts)
        except (NotStarted, RuntimeError) as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    conditions: dict[str, object] = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "server_core_and_load_core": cores(),
        **{name: version(name) for name in ("litestar", "uvicorn", "uvloop", "httptools")},
        "quick": quick,
        "took_s": round(time.perf_counter() - began_s, 1),
    }
    print(table(figures))
    print()
    print(as_json(figures, conditions))
    return 0


def _measure(config: Path, folder: Path, rounds: int, seconds: float, count: int, starts: int) -> list[Figure]:
    ready_s = []
    for _ in range(starts):
        with _gateway(config, folder) as gateway:
            ready_s.append(gateway.ready_s)
    with _gateway(config, folder) as gateway:
        ready_s.append(gateway.ready_s)
        figures = [
            Figure("Start", "until /readyz is 200, median", statistics.median(ready_s), "s", READY_AIM_S),
            Figure("Start", "until /readyz is 200, slowest", max(ready_s), "s"),
        ]
        memory = [Figure("Memory", "gateway after start", gateway.rss_mb(), "MB", RSS_AIM_MB)]
        figures += measure_hits(gateway, folder, rounds, seconds)
        for name in ("tone", "espeak"):
            figures += asyncio.run(measure_misses(gateway, folder / "direct", name, count))
        memory += [
            Figure("Memory", "gateway after the load", gateway.rss_mb(), "MB", RSS_AIM_MB),
            Figure("Memory", "workers after the load", gateway.workers_rss_mb(), "MB"),
        ]
    return figures + memory


def _gateway(config: Path, folder: Path) -> Server:
    port = free_port()
    arguments = ["-m", "gateway", "serve", "--config", str(config), "--port", str(port)]
    # a data directory of its own: a gateway would take over the workers that the one before it left running
    data_dir = folder / f"data-{port}"
    return Server(arguments, port, folder / "gateway.log", {"VOXGATE_DATA": str(data_dir)})


if __name__ == "__main__":
    sys.exit(main())
