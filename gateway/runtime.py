"""Everything that lives as long as the gateway: built in order, closed in reverse. No module holds state."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from engines.registry import Registry
from gateway.board import Board
from gateway.cache import Cache, DiskCache, MemoryCache
from gateway.clock import Clock, SystemClock
from gateway.configuration.load import Config
from gateway.fleet import Fleet
from gateway.outcomes import MemoryOutcomes, Outcomes
from gateway.record import Served
from gateway.text.prepare import prepare_text
from gateway.text.script import Script

logger = logging.getLogger("voxgate.runtime")

#: texts up to this many characters are remembered prepared: the same prompts come again and again
REMEMBERED_CHARS, REMEMBERED = 2000, 1024


@dataclass(slots=True)
class Runtime:
    """What a request needs. `config` is immutable and replaced as a whole."""

    config: Config
    registry: Registry
    clock: Clock
    board: Board
    fleet: Fleet
    cache: Cache
    outcomes: Outcomes
    remembered: Callable[[str, str, str], Script] = field(
        default_factory=lambda: functools.lru_cache(REMEMBERED)(_prepare)
    )
    finishing: set[asyncio.Task[Any]] = field(default_factory=set)

    @classmethod
    def build(cls, config: Config, registry: Registry, clock: Clock | None = None) -> Runtime:
        """All parts from a configuration; nothing is started, nothing is loaded. Needs a running event loop."""
        clock = clock or SystemClock()
        board = Board(clock)
        settings = config.settings
        fleet = Fleet(config.engines, registry.kinds, settings.data_dir, board)
        behind = None
        if settings.cache.path:
            behind = DiskCache(settings.cache.path, settings.cache.disk_mb * 1_000_000)
        cache = MemoryCache(settings.cache.memory_mb * 1_000_000, behind)
        outcomes = MemoryOutcomes(settings.outcomes.keep, settings.outcomes.keep_s, clock)
        return cls(config, registry, clock, board, fleet, cache, outcomes)

    async def start(self) -> None:
        """Start the engines. Raises OSError when the data directory cannot be written."""
        run_dir = self.config.settings.data_dir / "run"
        run_dir.mkdir(parents=True, exist_ok=True)
        if not os.access(run_dir, os.W_OK):
            raise PermissionError(13, "not writable (data_dir in gateway.yaml, or VOXGATE_DATA)", str(run_dir))
        await self.fleet.start()

    async def aclose(self) -> None:
        await self.fleet.aclose()
        await self.cache.aclose()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def prepare(self, text: str, input_type: str, language: str) -> Script:
        """`prepare_text`, which is pure, remembered for short texts."""
        prepare = self.remembered if len(text) <= REMEMBERED_CHARS else _prepare
        return prepare(text, input_type, language)

    def tell_served(self, served: Served) -> None:
        """Call every plugin's `on_served`; what one raises is logged."""
        for name, hook in self.registry.served_hooks():
            try:
                hook(record=served)
            except Exception:
                logger.exception("plugin %s: on_served failed", name)


def _prepare(text: str, input_type: str, language: str) -> Script:
    return prepare_text(text, input_type=input_type, language=language)  # type: ignore[arg-type]
