"""What a worker is: the description that the gateway has of it, and the duty that its process is given.

Knows nothing about sockets, processes or engines; only the standard library is imported here, because the worker reads
its duty before it loads anything heavy.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

#: changes whenever the two sides would no longer understand each other
PROTOCOL = 2


@dataclass(frozen=True)
class WorkerSpec:
    """One engine that is to run in a process of its own.

    `options` are the kind's options as JSON; they hold names of environment variables, never secrets. Two gateways
    whose specs have the same `fingerprint` share one worker.
    """

    instance: str
    kind: str
    options: Mapping[str, Any]
    run_dir: Path
    data_dir: Path = Path()
    slots: int | None = None  # as engines.yaml says; None: the kind decides
    memory_limit_mb: int | None = None  # resident, with child processes; above it the worker is replaced
    start_timeout_s: float = 60.0
    idle_unload_s: float = 0.0  # detach after so long without a request; 0: never
    hang_timeout_s: float = 15.0  # a started worker that answers no ping for so long is killed
    linger_s: float = 3.0  # how long a worker outlives the last gateway, so that a restarted one finds it warm
    finish_s: float = 3600.0  # how long one that retires may go on with what it was asked before, then it breaks off
    revision: str = ""  # whatever else must be equal to share a worker, for instance a plugin's version

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of everything that makes the worker what it is.

        Values of the environment variables that options name are part of it (as a digest), so that a gateway started
        with a new key never attaches to a worker that still has the old one.
        """
        secrets = {name: os.environ[name] for name in _strings(self.options) if name in os.environ}
        parts = [
            PROTOCOL,
            self.instance,
            self.kind,
            self.options,
            self.slots,
            str(self.data_dir),
            self.revision,
            sys.executable,
            str(package_root()),
            os.environ.get("PYTHONPATH", ""),
            _version(),
            secrets,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Duty:
    """What the worker process reads from its standard input."""

    instance: str
    kind: str
    options: Mapping[str, Any]
    slots: int | None
    data_dir: str
    fingerprint: str
    linger_s: float
    finish_s: float
    start_timeout_s: float
    hang_timeout_s: float
    socket: str  # path to bind
    lock: str  # path of the lock file
    lock_fd: int  # the lock, held, inherited

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Duty:
        return cls(**json.loads(text))


def package_root() -> Path:
    """The directory from which the package `engines` was imported."""
    return Path(__file__).resolve().parents[2]


def _strings(value: object) -> Iterator[str]:
    """Every string in a tree of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _strings(one)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("voxgate")
    except PackageNotFoundError:
        return ""
