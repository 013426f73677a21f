"""The worker process: `python -m engines.worker`, with its duty as JSON on standard input.

Binds its socket first and loads the engine afterwards, so that whoever waits for it learns what becomes of the start.
Only a gateway starts it: it inherits the lock that says so. Knows nothing about what it serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import io
import os
import signal
import socket
import sys
from pathlib import Path

from engines.worker.place import Lock
from engines.worker.spec import Duty

#: connections that may wait while the loop is busy; the kernel caps it at net.core.somaxconn
BACKLOG = 1024


def main() -> None:
    duty = Duty.from_json(sys.stdin.buffer.read())
    _settle(duty)
    lock = Lock(duty.lock_fd, Path(duty.lock))
    listener = _bind(duty.socket)

    def forget() -> None:
        """In a child that an engine forks: let go of what says that the worker lives."""
        lock.close()
        listener.close()

    os.register_at_fork(after_in_child=forget)

    import logging

    from engines.worker.server import Worker

    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")

    async def serve() -> None:
        with contextlib.suppress(OSError):
            asyncio.get_running_loop().add_reader(2, _speak_to_nobody)
        status = await Worker(duty, lock, listener).run()
        sys.stderr.flush()
        # Not a return: threads that a library left behind, the loop's own among them, must not keep the process.
        os._exit(status)

    asyncio.run(serve())


def _settle(duty: Duty) -> None:
    """Make this process fit for outliving the gateway that started it."""
    os.set_inheritable(duty.lock_fd, False)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    # Its terminal is not ours, and only SIGTERM asks us to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nobody reads the log when that gateway is gone or stuck: lines are lost then, work goes on.
    os.set_blocking(2, False)
    sys.stdout = sys.stderr = io.TextIOWrapper(_Log(), "utf-8", "backslashreplace", line_buffering=True)
    faulthandler.enable(file=2)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"vox:{duty.instance}"[:15])


def _speak_to_nobody() -> None:
    """The gateway that read our log is gone. Even a write past `sys.stderr` must not fail now."""
    asyncio.get_running_loop().remove_reader(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)


class _Log(io.RawIOBase):
    """Standard error whose writes never fail and never wait."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def write(self, data: object) -> int:
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        with contextlib.suppress(OSError):
            os.write(2, view)
        return len(view)


def _bind(path: str) -> socket.socket:
    """Listen at `path`. Whatever lies there belonged to a dead worker: we hold the lock."""
    Path(path).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(path)
    listener.listen(BACKLOG)
    return listener


if __name__ == "__main__":
    main()
