"""Opens a graph with ONNX Runtime, with as many threads as this process may use cores.

Knows what a machine lends: affinity, a container's share, `OMP_NUM_THREADS`. Knows nothing about any model.
Settings: https://onnxruntime.ai/docs/performance/tune-performance/threading.html and ONNX Runtime's
"onnxruntime_session_options_config_keys.h".
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

#: 3: errors; warnings of the optimiser are of no use to operators
_LOG_SEVERITY = 3
_CPU = ("CPUExecutionProvider",)


class SessionError(ValueError):
    """A graph that cannot be run; the message says why and what to do."""


def open_session(
    path: Path, threads: int | None = None, providers: Sequence[str] = _CPU
) -> onnxruntime.InferenceSession:
    """Load a graph whose weights lie beside it; they are mapped into memory, not copied. `threads` as `count_threads`.

    Raises SessionError when ONNX Runtime is missing, or has none of `providers`, or refuses the graph.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise SessionError(f"onnxruntime is not installed ({error}); install it: pip install onnxruntime") from None
    if missing := [one for one in providers if one not in onnxruntime.get_available_providers()]:
        raise SessionError(f"this build of onnxruntime has no {', '.join(missing)}; install one that has")
    if not path.is_file():
        raise SessionError(f"{path} is missing; export or fetch its bundle again")
    try:
        return onnxruntime.InferenceSession(path, _settings(threads), list(providers))
    except Exception as error:  # its errors have no base of their own but Exception
        raise SessionError(
            f"onnxruntime {onnxruntime.__version__} cannot load {path}: {error}; "
            "if the file is whole, a newer onnxruntime may know it: pip install --upgrade onnxruntime"
        ) from error


def _settings(threads: int | None) -> onnxruntime.SessionOptions:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = count_threads(threads)
    settings.inter_op_num_threads = 1
    settings.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    settings.log_severity_level = _LOG_SEVERITY
    # Threads that wait in a loop take the cores from other sessions and other processes: beside busy ones, a step of
    # decoding took twice as long with it.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if cuts_sums_off():
        # With unsigned weights the sums fit. Elsewhere this would cost half the speed, and be obeyed all the same.
        settings.add_session_config_entry("session.x64quantprecision", "1")
    return settings


def cuts_sums_off(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Has this processor only such instructions for products of unsigned and signed 8 bit numbers as cut their sums
    off at 16 bit: x86 without VNNI."""
    flags = next((line.split() for line in _read(cpuinfo).splitlines() if line.startswith("flags")), [])
    return "avx2" in flags and not {"avx512_vnni", "avx_vnni"} & set(flags)


def count_threads(wanted: int | None = None) -> int:
    """`wanted`, else what `OMP_NUM_THREADS` says, else the cores that this process may use; at least 1."""
    if wanted is not None:
        return max(1, wanted)
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # "4,2": for nested regions, as OpenMP has it
    return int(first) if first.isascii() and first.isdigit() and int(first) > 0 else usable_cores()


def usable_cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """The cores that the system lets this process run on, or fewer where a container has a share of their time."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, _share(groups, own))))


def _share(groups: Path, own: Path) -> float:
    """Cores' worth of time that the control groups of this process leave it; infinite where they say nothing.

    Linux, "Control Group v2", cpu.max, and of the first version cpu.cfs_quota_us. A group's limit holds below it.
    """
    shares = [math.inf]
    for folder in {groups, groups / "cpu", *_own_groups(groups, own)}:
        quota, period = _read(folder / "cpu.max").split() or ("max", "")
        if quota == "max":
            quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            shares.append(int(quota) / int(period))
    return min(shares)


def _own_groups(groups: Path, own: Path) -> list[Path]:
    """Folders of the groups that this process is in, and of those above, from lines as 0::/a/b and 4:cpu,cpuacct:/a."""
    found = []
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            root = groups / "cpu" if controllers else groups
            parts = Path(path.lstrip("/")).parts
            found += [root.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
