"""Sees everything that a runtime does, as long as it runs: metrics, a line for each request, and traces if wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from gateway.runtime import Runtime
from gateway.telemetry.access import log_served
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.processes import Siblings
from gateway.telemetry.standing import Standing
from gateway.telemetry.tracing import Tracing, is_installed, is_wanted


class Observer:
    """`async with` it around the runtime, so that the last request is seen. `tracing` is None where none is wanted."""

    def __init__(self, runtime: Runtime, version: str, environ: Mapping[str, str]) -> None:
        wanted = runtime.config.settings.tracing
        self.metrics = Metrics()
        self.tracing = Tracing(wanted, version) if is_wanted(wanted, environ) and is_installed() else None
        self.exposition = Exposition(self.metrics, Standing(runtime, version, self.tracing), Siblings.of(environ))
        runtime.board.watchers.append(self.metrics)
        runtime.listeners += [log_served, self.metrics.served]
        if self.tracing:
            runtime.listeners.append(self.tracing.served)

    async def __aenter__(self) -> Self:
        await self.exposition.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.exposition.__aexit__(kind, error, trace)
        if self.tracing:
            await asyncio.to_thread(self.tracing.close)
