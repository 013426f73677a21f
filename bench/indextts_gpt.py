"""What one step of IndexTTS-2's autoregressive model costs, at the release's size and with random weights.

    python -m bench.indextts_gpt [--precision fp32 int8 int4] [--threads N] [--rounds 20]

Speed does not depend on what the weights are. Each precision is exported to a temporary folder, up to 2 GB, loaded and
measured in a process of its own, so that memory is its own too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil

from engines.indextts.gpt import NAME, Gpt
from engines.indextts.graphs.gpt import build
from engines.indextts.sizes import GptSizes
from models.checkpoint import Tensors

RELEASE = GptSizes(
    width=1280,
    layers=24,
    heads=20,
    text_tokens=12000,
    codes=8194,
    start_text=0,
    stop_text=1,
    start_code=8192,
    stop_code=8193,
    max_codes=1815,
    max_text_tokens=600,
)
#: text and voice, in positions; the states of so many codes are the second pass
PREFILL, LATENTS = 120, 500


class RandomTensors(Tensors):
    """A checkpoint that has every tensor that it is asked for."""

    def __init__(self) -> None:
        super().__init__({}, "random")
        self._random = np.random.default_rng(0)

    def scope(self, prefix: str) -> Tensors:
        return self

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
        assert shape
        values = self._random.standard_normal(shape, np.float32)
        return values * np.float32(0.02) if len(shape) > 1 else 1 + values * np.float32(0.02)


def measure(folder: Path, precision: str, threads: int | None, rounds: int) -> None:
    """Print a line per figure."""
    sizes = SimpleNamespace(gpt=RELEASE)
    process = psutil.Process()
    before = process.memory_info().rss
    began = time.perf_counter()
    tables = SimpleNamespace(mel_position=np.zeros((RELEASE.max_codes + 3, 1)))
    gpt = Gpt(folder, sizes, tables, threads)  # type: ignore[arg-type]
    loaded_s = time.perf_counter() - began
    random = np.random.default_rng(1)

    def embeddings(rows: int, steps: int) -> np.ndarray:
        return random.standard_normal((rows, steps, RELEASE.width), np.float32)

    def report(what: str, run: Callable[[], object], times: int) -> None:
        run()
        taken, worked = [], []
        for _ in range(times):
            start, working = time.perf_counter(), time.process_time()
            run()
            taken.append((time.perf_counter() - start) * 1000)
            worked.append((time.process_time() - working) * 1000)
        print(
            f"{precision:5} {what:14} {statistics.median(taken):8.1f} ms, quickest of {times} {min(taken):8.1f} ms, "
            f"processor time {statistics.median(worked):8.1f} ms",
            flush=True,
        )

    cache = gpt.cache(1024, rows=4)
    for array in cache.arrays:
        array[...] = random.standard_normal(array.shape[-2:], np.float32)
    prompt, rest = embeddings(1, PREFILL), embeddings(1, LATENTS)
    for rows in (1, 4):
        for filled in (200, 600):
            one = embeddings(rows, 1)
            report(f"step, {rows} at {filled}", lambda one=one, n=filled: gpt.run(one, [n] * len(one), cache), rounds)
    report(f"prefill {PREFILL}", lambda: gpt.run(prompt, [PREFILL], cache), max(1, rounds // 4))
    report(f"latents {LATENTS}", lambda: gpt.run(rest, [PREFILL + LATENTS], cache), max(1, rounds // 10))
    memory = process.memory_full_info()
    print(
        f"{precision:5} loaded in {loaded_s:.1f} s; resident {(memory.rss - before) / 2**20:.0f} MB, "
        f"of them private {memory.uss / 2**20:.0f} MB, 4 caches included",
        flush=True,
    )


def export(folder: Path, precision: str) -> None:
    """Write the graph of random weights."""
    build(RandomTensors(), SimpleNamespace(gpt=RELEASE), precision).save(folder / NAME)  # type: ignore[arg-type]


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", nargs="+", default=["fp32", "int8", "int4"])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=20)
    asked = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    for precision in asked.precision:
        with tempfile.TemporaryDirectory() as folder:
            for work, *more in ((export,), (measure, asked.threads, asked.rounds)):
                one = processes.Process(target=work, args=(Path(folder), precision, *more))
                one.start()
                one.join()


if __name__ == "__main__":
    main()
