"""A place where tests make workers, gateways and speech, and learn what the drill engine did."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from engines.contract import AudioChunk, EngineInfo, SpeechRequest
from engines.worker.client import WorkerEngine, WorkerSpec

PLUGIN = Path(__file__).parent / "plugin"
ROOT = Path(__file__).parents[3]


async def eventually(condition: Callable[[], object], within_s: float = 20.0) -> None:
    """Wait until `condition()` holds; the bound is only there to fail instead of hanging."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.005)


def request_of(text: str) -> SpeechRequest:
    return SpeechRequest(text, "en")


def alive(pid: int) -> bool:
    """Is there a process of this number. A zombie is one, if burying it is our business."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE or process.ppid() == os.getpid()
    except psutil.NoSuchProcess:
        return False


class Workplace:
    """Makes engines and gateways over one directory, and can read what the drill engine wrote there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.run_dir = home / "run"
        self.engines: list[WorkerEngine] = []
        self.gateways: list[subprocess.Popen[str]] = []
        self.lost: list[str] = []
        self.pids: set[int] = set()

    def spec(self, **fields: Any) -> WorkerSpec:
        defaults: dict[str, Any] = {
            "instance": "drill",
            "kind": "drill",
            "options": {},
            "run_dir": self.run_dir,
            "data_dir": self.home,
            "linger_s": 0.0,
        }
        return WorkerSpec(**(defaults | fields))

    def engine(self, **fields: Any) -> WorkerEngine:
        """An engine that is not started yet."""
        engine = WorkerEngine(self.spec(**fields), EngineInfo(), self.lost.append)
        self.engines.append(engine)
        return engine

    async def started(self, **fields: Any) -> WorkerEngine:
        engine = self.engine(**fields)
        await engine.start()
        assert engine.pid
        self.pids.add(engine.pid)
        return engine

    def gateway(self, **fields: Any) -> subprocess.Popen[str]:
        """Another gateway process. Its first line says `attached PID`."""
        spec = asdict(self.spec(**fields))
        path = self.home / f"spec-{len(self.gateways)}.json"
        path.write_text(
            json.dumps({key: str(value) if isinstance(value, Path) else value for key, value in spec.items()})
        )
        process = subprocess.Popen(
            [sys.executable, str(PLUGIN / "gateway_process.py"), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.gateways.append(process)
        return process

    def journal(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self.home / "journal").read_text().splitlines()
        return []

    def touch(self, name: str) -> None:
        (self.home / name).touch()

    async def leave(self) -> None:
        """Close everything; every process must end by itself."""
        for gateway in self.gateways:
            gateway.kill()
            gateway.communicate()
        for engine in self.engines:
            if engine.pid:
                self.pids.add(engine.pid)
            await engine.close()
        await eventually(lambda: not any(alive(pid) for pid in self.pids))
        await eventually(lambda: not [one for one in threading.enumerate() if one.name.startswith("voxgate-")])


async def say(engine: WorkerEngine, text: str) -> list[AudioChunk]:
    """Every chunk of one speech."""
    return [chunk async for chunk in engine.synthesize(request_of(text))]
