"""A server under measurement: a process, when it was ready, the CPU time it has used and the memory it holds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

#: a start that takes longer has failed
LONGEST_START_S = 60.0


class NotStarted(Exception):
    """The server ended, or was not ready in time; the message holds the end of its log."""


class Server:
    """One server process, started on entering the `with` block and stopped on leaving it."""

    def __init__(self, arguments: Sequence[str], port: int, log: Path, environment: Mapping[str, str]) -> None:
        self.port = port
        self.ready_s = 0.0
        self._arguments = [sys.executable, *arguments]
        self._log = log
        self._environment = {**os.environ, **environment}

    def __enter__(self) -> Self:
        began_s = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )
        self._watched = psutil.Process(self._process.pid)
        try:
            while not _ready(self.port):
                if self._process.poll() is not None or time.perf_counter() - began_s > LONGEST_START_S:
                    raise NotStarted(self._log.read_text(errors="replace")[-2000:])
                time.sleep(0.005)
        except BaseException:
            self._stop()
            raise
        self.ready_s = time.perf_counter() - began_s
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def pin(self, cores: set[int]) -> None:
        """Keep the server's own process, all its threads, on these cores; its workers stay where they are."""
        if hasattr(os, "sched_setaffinity"):
            for thread in self._watched.threads():
                os.sched_setaffinity(thread.id, cores)

    def cpu_s(self) -> float:
        """CPU seconds of the server's own process so far, all threads."""
        return _cpu_s(self._watched)

    def workers_cpu_s(self) -> float:
        """CPU seconds of the processes below it."""
        return sum(_cpu_s(child) for child in self._watched.children(recursive=True))

    def rss_mb(self) -> float:
        """Resident memory of the server's own process, in 10^6 bytes."""
        return float(self._watched.memory_info().rss) / 1e6

    def open_files(self) -> int:
        """File descriptors of the server's own process."""
        return int(self._watched.num_fds())

    def workers(self) -> list[psutil.Process]:
        """The processes below it."""
        return self._watched.children(recursive=True)

    def workers_rss_mb(self) -> float:
        """Resident memory of the processes below it."""
        return sum(float(child.memory_info().rss) for child in self._watched.children(recursive=True)) / 1e6


def start_gateway(config: Path, folder: Path, *arguments: str) -> Server:
    """A `voxgate serve` of a configuration, on a free port, with a data directory and a log of its own under `folder`.

    Of its own, because a gateway would take over the workers that the one before it left running.
    """
    port = free_port()
    command = ["-m", "gateway", "serve", "--config", str(config), "--port", str(port), *arguments]
    return Server(command, port, folder / f"gateway-{port}.log", {"VOXGATE_DATA": str(folder / f"data-{port}")})


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _ready(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _cpu_s(process: psutil.Process) -> float:
    """The scheduler's run time in ns where Linux tells it, else `times`, which count in 10 ms."""
    try:
        tasks = Path(f"/proc/{process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        times = process.cpu_times()
        return float(times.user + times.system)
