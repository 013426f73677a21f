"""Starts a worker process, passes what it says to the log, and buries it.

One thread for each worker that this gateway started waits for its words and for its end, so that no event loop is
needed for either and no zombie is left. Knows nothing about what the worker does.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

from engines.errors import without_addresses
from engines.worker.place import Lock, Place
from engines.worker.spec import Duty, WorkerSpec, package_root

#: a longer line is cut
MAX_LINE_CHARS = 2000
#: lines that may be logged at once, and a second on average; the rest is counted
LINES_BURST = 200
LINES_PER_S = 50.0
#: last lines kept for the message of a worker that died
KEPT_LINES = 20


class Spawned:
    """A worker process that this gateway started."""

    def __init__(self, child: subprocess.Popen[bytes], instance: str) -> None:
        self.pid = child.pid
        self._child = child
        self._log = logging.getLogger(f"voxgate.engine.{instance}")
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._budget = float(LINES_BURST)
        self._refilled = time.monotonic()
        self._dropped = 0
        self._buried = threading.Event()
        threading.Thread(target=self._attend, name=f"voxgate-{instance}", daemon=True).start()

    @property
    def ended(self) -> bool:
        """It has ended and its last words were read."""
        return self._buried.is_set()

    def wait(self, most_s: float) -> bool:
        """Wait for that; blocks."""
        return self._buried.wait(most_s)

    def terminate(self) -> None:
        """SIGTERM."""
        self._child.terminate()

    @property
    def manner(self) -> str:
        """How it ended: `killed by SIGKILL`, `exit status 1`; empty while it is not known."""
        status = self._child.returncode if self.ended else None
        if status is None:
            return ""
        if status >= 0:
            return f"exit status {status}"
        try:
            return f"killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"killed by signal {-status}"

    @property
    def last_words(self) -> str:
        """The last line that says something, which for a traceback is the error; without addresses."""
        return without_addresses(next((line for line in reversed(self._lines) if line.strip()), ""))

    def _attend(self) -> None:
        """Thread: read lines until the process has ended, then reap it."""
        assert self._child.stdout is not None
        words = self._child.stdout.fileno()
        os.set_blocking(words, False)
        poll = select.poll()
        poll.register(words, select.POLLIN)
        # Not the pipe's end alone: a process that the engine left behind may hold the pipe open.
        end = -1
        with contextlib.suppress(OSError, AttributeError):
            end = os.pidfd_open(self.pid)
            poll.register(end, select.POLLIN)
        rest = b""
        while True:
            ready = dict(poll.poll())
            try:
                data = os.read(words, 1 << 16)
            except BlockingIOError:
                data = None
            if data:
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._say(line)
                if len(rest) > 4 * MAX_LINE_CHARS:
                    rest = self._say(rest)
            elif data == b"" or end in ready:
                break
        self._say(rest)
        self._report_dropped()
        self._child.stdout.close()
        if end >= 0:
            os.close(end)
        self._child.wait()
        self._buried.set()

    def _say(self, line: bytes) -> bytes:
        text = line.decode("utf-8", "replace").rstrip()
        if not text:
            return b""
        if len(text) > MAX_LINE_CHARS:
            text = text[: MAX_LINE_CHARS - 1] + "…"
        self._lines.append(text)
        now = time.monotonic()
        self._budget = min(LINES_BURST, self._budget + (now - self._refilled) * LINES_PER_S)
        self._refilled = now
        if self._budget < 1:
            self._dropped += 1
        else:
            self._budget -= 1
            self._report_dropped()
            self._log.warning("%s", text)
        return b""

    def _report_dropped(self) -> None:
        if self._dropped:
            self._log.warning("(%d lines left out: too many at once)", self._dropped)
            self._dropped = 0


def spawn_if_free(spec: WorkerSpec, place: Place) -> Spawned | None:
    """Start the worker, unless somebody else has one or is starting one: then None. Raises OSError."""
    lock = Lock.take(place.lock)
    if lock is None:
        return None
    try:
        duty = Duty(
            instance=spec.instance,
            kind=spec.kind,
            options=spec.options,
            slots=spec.slots,
            data_dir=str(spec.data_dir),
            fingerprint=spec.fingerprint,
            linger_s=spec.linger_s,
            finish_s=spec.finish_s,
            start_timeout_s=spec.start_timeout_s,
            hang_timeout_s=spec.hang_timeout_s,
            socket=str(place.socket),
            lock=str(place.lock),
            lock_fd=lock.fd,
        )
        words = duty.to_json()
        child = subprocess.Popen(
            # -P: a folder named `engines` in the working directory must not take our place.
            [sys.executable, "-P", "-m", "engines.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock.fd,),
            env=_environment(),
            start_new_session=True,  # Ctrl-C on the gateway must not cut its speech
        )
    finally:
        lock.close()
    spawned = Spawned(child, spec.instance)
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died already: its last words say why
        child.stdin.write(words)
        child.stdin.flush()
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()
    return spawned


def _environment() -> dict[str, str]:
    """Ours, so that the worker finds the same package `engines` where it is not installed."""
    environment = dict(os.environ)
    root = str(package_root())
    if Path(root).name not in ("site-packages", "dist-packages"):
        paths = [one for one in environment.get("PYTHONPATH", "").split(os.pathsep) if one]
        environment["PYTHONPATH"] = os.pathsep.join([*paths, root] if root not in paths else paths)
    return environment
