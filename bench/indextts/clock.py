"""Times pieces of work on a machine that may have other work too. Knows nothing about what is timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Of several runs. On a shared machine the quickest is nearest to what the work takes."""

    quickest_s: float
    cpu_s: float  # of all threads, of the run with the least


def timed(work: Callable[[], object], times: int) -> Timing:
    """Run it once unheeded, and then so many times."""
    return timed_in_turn([work], times)[0]


def timed_in_turn(works: list[Callable[[], object]], times: int) -> list[Timing]:
    """One run of each after the other, so that whatever else the machine does meets them alike."""
    for work in works:
        work()
    walls: list[list[float]] = [[] for _ in works]
    worked: list[list[float]] = [[] for _ in works]
    for _ in range(times):
        for number, work in enumerate(works):
            start_s, cpu_s = time.perf_counter(), time.process_time()
            work()
            walls[number].append(time.perf_counter() - start_s)
            worked[number].append(time.process_time() - cpu_s)
    return [Timing(min(wall), min(cpu)) for wall, cpu in zip(walls, worked, strict=True)]


def timer() -> Callable[[], Timing]:
    """What tells the time since now."""
    start_s, cpu_s = time.perf_counter(), time.process_time()
    return lambda: Timing(time.perf_counter() - start_s, time.process_time() - cpu_s)
