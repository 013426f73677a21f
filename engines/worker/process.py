"""A worker process: does it live, how much memory has it, and the end of it.

Seen from outside, where it need not be our child; only `resident_bytes` is asked inside. Knows nothing about sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

#: the list of child processes is read this seldom: it walks through all of /proc
CHILDREN_PERIOD = 5


class Process:
    """A handle that stays on one process, also when its number is given to another one.

    Take it while a connection to the process is open, so that the number is surely still its own. Where the system
    gives no handle (another PID namespace, an old kernel) it does nothing, and the end of file must do.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = -1
        self._gone: Callable[[], None] | None = None
        if pid > 0:
            with contextlib.suppress(OSError, AttributeError):
                self._handle = os.pidfd_open(pid)

    def watch(self, gone: Callable[[], None]) -> None:
        """Call `gone` once when the process ends. A child that it forked may hold its sockets open beyond that."""
        if self._handle >= 0:
            asyncio.get_running_loop().add_reader(self._handle, self._ended)
            self._gone = gone

    def kill(self) -> None:
        """SIGKILL."""
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        """Idempotent."""
        self._unwatch()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _ended(self) -> None:
        gone = self._gone
        self._unwatch()
        if gone is not None:
            gone()

    def _unwatch(self) -> None:
        if self._gone is not None:
            self._gone = None
            asyncio.get_running_loop().remove_reader(self._handle)


class Scales:
    """Weighs a process and its children. `weigh` reads files: call it off the event loop."""

    def __init__(self, pid: int) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process(pid)  # knows the process by its start time too
        self._children: list[psutil.Process] = []
        self._weighed = 0

    def weigh(self) -> int:
        """Resident bytes now; 0 when it is gone."""
        try:
            if self._weighed % CHILDREN_PERIOD == 0:
                self._children = self._process.children(recursive=True)
            self._weighed += 1
            total = int(self._process.memory_info().rss)
        except self._psutil.Error:
            return 0
        for child in self._children:
            with contextlib.suppress(self._psutil.Error):
                total += int(child.memory_info().rss)
        return total


def resident_bytes() -> int:
    """Of this process now; 0 where /proc is not there."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
