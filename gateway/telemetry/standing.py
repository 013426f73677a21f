"""How things stand now: gauges, read from whoever keeps the facts when somebody asks.

Knows nothing about how they are written down.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import get_args

import psutil

from gateway.runtime import Runtime
from gateway.telemetry import catalog
from gateway.telemetry.catalog import Counted, Gauged
from gateway.telemetry.logs import lines_left_out
from gateway.telemetry.tracing import Tracing
from policies.decide import out_of_rotation
from policies.types import State

#: a metric, the values of its labels, its value
Reading = tuple[Gauged, tuple[str, ...], float]
Total = tuple[Counted, tuple[str, ...], float]


class Standing:
    """One process's own view."""

    def __init__(self, runtime: Runtime, version: str, tracing: Tracing | None = None) -> None:
        self._runtime, self._version, self._tracing = runtime, version, tracing
        self._process = psutil.Process()

    def gauges(self) -> Iterator[Reading]:
        """All of them. Quick and synchronous; for the event loop's thread."""
        yield catalog.IN_FLIGHT, (), self._runtime.in_flight
        yield from self._engines()
        yield from self._stores()
        yield from self._configuration()
        yield from self._machine()

    def totals(self) -> Iterator[Total]:
        """Numbers that others count for themselves, and that only grow."""
        runtime = self._runtime
        yield catalog.RELOADS, ("succeeded",), runtime.reloader.succeeded
        yield catalog.RELOADS, ("refused",), runtime.reloader.refused
        for limit, refused in runtime.limiter.refused.items():
            yield catalog.REFUSED, (limit,), refused
        if runtime.store:
            yield catalog.REDIS_ERRORS, (), runtime.store.failed
        if runtime.served_log:
            yield catalog.SERVED_LINES_LOST, (), runtime.served_log.dropped
        yield catalog.LINES_LOST, (), lines_left_out()
        if self._tracing:
            yield catalog.SPANS_LOST, (), self._tracing.lost
        used = self._process.cpu_times()
        yield catalog.CPU, (), used.user + used.system

    def _engines(self) -> Iterator[Reading]:
        runtime = self._runtime
        engines = out_of_rotation(runtime.board.snapshot(), runtime.config.policy).engines
        yield catalog.CAN_SPEAK, (), any(state.state == "up" for state in engines.values())
        for name, state in engines.items():
            of = (name,)
            yield catalog.ENGINE_UP, of, state.state == "up"
            for other in get_args(State):
                yield catalog.ENGINE_STATE, (name, other), state.state == other
            yield catalog.BREAKER, of, runtime.board.row(name).breaker.open_until_s > 0
            yield catalog.ENGINE_BUSY, of, state.busy
            yield catalog.ENGINE_QUEUED, of, state.queued
            yield catalog.ENGINE_SLOTS, of, state.slots
            yield catalog.ENGINE_QUEUE, of, state.queue
            if state.first_audio_s is not None:
                yield catalog.ENGINE_EXPECTED, of, state.first_audio_s
            if memory := self._memory(name):
                yield catalog.ENGINE_MEMORY, of, memory

    def _memory(self, engine: str) -> int:
        """Bytes that the engine's own process holds; 0 when it has none."""
        member = self._runtime.fleet.members.get(engine)
        pid = getattr(member.guarded.engine, "pid", None) if member else None
        try:
            return int(psutil.Process(pid).memory_info().rss) if pid else 0
        except psutil.Error:  # it has just ended
            return 0

    def _stores(self) -> Iterator[Reading]:
        cache = self._runtime.cache
        yield catalog.CACHE_BYTES, (), cache.held_bytes
        yield catalog.CACHE_LIMIT, (), cache.limit_bytes
        if store := self._runtime.store:
            yield catalog.REDIS_UP, (), store.state == "up"
            yield catalog.REDIS_WRITABLE, (), not store.reason

    def _configuration(self) -> Iterator[Reading]:
        reloader = self._runtime.reloader
        yield catalog.RELOAD_OK, (), reloader.last.ok
        yield catalog.RESTART_PENDING, (), bool(reloader.restart_pending)

    def _machine(self) -> Iterator[Reading]:
        process = self._process
        with process.oneshot():
            yield catalog.PROCESSES, (), 1
            yield catalog.BUILD, (self._version, platform.python_version()), 1
            yield catalog.MEMORY, (), process.memory_info().rss
            yield catalog.OPEN_FDS, (), process.num_fds()
            yield catalog.MAX_FDS, (), process.rlimit(psutil.RLIMIT_NOFILE)[0]
            yield catalog.STARTED, (), process.create_time()
