"""The gateway as a process of its own, started by its command and stopped by signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http.client import HTTPResponse
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import psutil

ROOT = Path(__file__).parent.parent.parent
#: seconds until something that always happens is taken to have failed; generous, for machines with much else to do
DEADLINE_S = 40.0
VOXGATE = (sys.executable, "-m", "gateway")


def surroundings(home: Path, **more: str) -> dict[str, str]:
    """A clean environment, in which only this checkout is known; data are kept under `home`."""
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
        "VOXGATE_DATA": str(home / "data"),
        **more,
    }


def voxgate(*args: str, home: Path, stdin: bytes | None = None, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end, in an empty directory."""
    environment = surroundings(home, **more)
    return subprocess.run(
        [*VOXGATE, *args], input=stdin, capture_output=True, cwd=home, env=environment, timeout=DEADLINE_S
    )


class Gateway:
    """A `voxgate serve` on a free port. Its stderr is in `log`."""

    def __init__(
        self,
        *args: str,
        home: Path,
        command: Sequence[str] = (*VOXGATE, "serve", "--port", "0"),
        environment: Mapping[str, str] | None = None,
        user: int | None = None,
        url: str = "",
    ) -> None:
        self._log = home / "serve.log"
        self._url = url
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *args],
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=home,
                env=surroundings(home) if environment is None else environment,
                user=user,
            )

    def __enter__(self) -> Self:
        self.wait_until(self._listens, "it listens")
        self.wait_until(self._ready, "it is ready")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def url(self) -> str:
        """Where it says that it listens."""
        found = re.search(r"listens on (?:http://)?([^\s\"]+)", self.log)
        return self._url or (f"http://{found[1]}" if found else "")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def get(self, path: str, timeout_s: float = DEADLINE_S) -> HTTPResponse:
        return cast(HTTPResponse, urllib.request.urlopen(self.url + path, timeout=timeout_s))

    def speech(self, text: str, **fields: object) -> HTTPResponse:
        """The reply to a request for speech, its body not yet read."""
        body = json.dumps({"input": text, "cache": "bypass", **fields}).encode()
        request = urllib.request.Request(f"{self.url}/v1/speech", body, {"content-type": "application/json"})
        return cast(HTTPResponse, urllib.request.urlopen(request, timeout=DEADLINE_S))

    def wait_until(self, holds: object, what: str) -> None:
        """Poll until `holds()`; fails when the process ends before that, or when it takes too long."""
        assert callable(holds)
        until = time.monotonic() + DEADLINE_S
        while not holds():
            assert self.process.poll() is None, f"ended with status {self.process.returncode}: {self.log[-2000:]}"
            assert time.monotonic() < until, f"not seen that {what}: {self.log[-2000:]}"
            time.sleep(0.02)

    def _listens(self) -> bool:
        return self.url != ""

    def _ready(self) -> bool:
        try:
            return self.get("/readyz").status == 200
        except (urllib.error.URLError, ConnectionError):
            return False


def engine_workers(data: Path) -> list[psutil.Process]:
    """The worker processes of engines that belong to a data directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE or "engines.worker" not in process.cmdline():
                continue
            if process.environ().get("VOXGATE_DATA") == str(data):
                found.append(process)
        except psutil.Error:
            continue  # it ended while we looked
    return found


def wait_for_no_workers(data: Path) -> None:
    """Workers outlive their last gateway for some seconds, so that a restarted one finds them warm."""
    until = time.monotonic() + DEADLINE_S
    while left := engine_workers(data):
        assert time.monotonic() < until, f"still there: {left}"
        time.sleep(0.1)
