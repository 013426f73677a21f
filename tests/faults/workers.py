"""Processes of engines: which one works now."""

from __future__ import annotations

import os
import signal

from tests.faults.hearing import poll
from tests.gateway.http.conftest import Gateway


def pid_of(gateway: Gateway, engine: str) -> int | None:
    return gateway.runtime.fleet.members[engine].guarded.process


def await_worker(gateway: Gateway, engine: str, other_than: int | None = None) -> None:
    """Wait until a process works for it that is not that one."""
    member = gateway.runtime.fleet.members[engine]
    poll(lambda: member.up.is_set() and member.guarded.process not in (None, other_than), f"{engine} is up")


def kill(gateway: Gateway, engine: str) -> None:
    pid = pid_of(gateway, engine)
    assert pid
    os.kill(pid, signal.SIGKILL)
