"""On what machine was measured, and what else it did meanwhile. Knows nothing about models."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import psutil

from models.session import count_threads

#: what makes products of 8 bit and of bfloat16 quick, as Linux names it
_TELLING = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm")


def describe_machine() -> dict[str, object]:
    """Processor, cores, memory."""
    lines = _cpu_lines()
    flags = next((value.split() for name, value in lines if name in ("flags", "Features")), [])
    return {
        "processor": next((value for name, value in lines if name == "model name"), platform.processor()),
        "instructions": [one for one in _TELLING if one in flags],
        "cores": os.cpu_count(),
        "threads": count_threads(),
        "memory_mb": psutil.virtual_memory().total >> 20,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _cpu_lines() -> list[tuple[str, str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return [(name.strip(), value.strip()) for name, _, value in pairs]


class Beside:
    """How much of the machine's time others had since this was made. On a busy machine figures are low readings."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._busy_s, self._own_s = _busy_s(), _own_s()

    def share(self) -> float:
        """Of all cores' time."""
        whole_s = (time.monotonic() - self._began_s) * (os.cpu_count() or 1)
        others_s = _busy_s() - self._busy_s - (_own_s() - self._own_s)
        return round(max(0.0, others_s / whole_s), 3) if whole_s else 0.0


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def _own_s() -> float:
    """Of this process, and of its children that have ended."""
    return sum(os.times()[:4])
