"""Everything that lives as long as the gateway: built in order, closed in reverse. No module holds state."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from engines.registry import Registry
from gateway.audio.encode import load_codecs
from gateway.audio.resample import Resampler
from gateway.cache import Cache, DiskCache, MemoryCache
from gateway.clock import Clock, SystemClock
from gateway.configuration.load import Config
from gateway.configuration.settings import Settings
from gateway.era import Era
from gateway.fleet.fleet import Changes, Fleet
from gateway.fleet.health_news import HealthNews
from gateway.flight.flights import Flights
from gateway.health.board import Board
from gateway.identity import own_name
from gateway.limits.limiter import Limiter
from gateway.limits.memory import MemoryBuckets
from gateway.limits.quota import AccountQuota
from gateway.outcomes.outcomes import MemoryOutcomes, Outcomes
from gateway.outcomes.shared import SharedOutcomes
from gateway.record import Served
from gateway.reload import LOOK_EVERY_S, Reloader
from gateway.served_log.log import ServedLog
from gateway.shared import Shared, share
from gateway.text.prepare import prepare_text

if TYPE_CHECKING:
    from gateway.redis.store import Store

logger = logging.getLogger("voxgate.runtime")


@dataclass(slots=True)
class Runtime:
    """What a request needs. `era` is the one reference that a reload replaces: a request takes it once and keeps it."""

    era: Era
    registry: Registry
    clock: Clock
    board: Board
    fleet: Fleet
    cache: MemoryCache
    outcomes: Outcomes
    shared: Shared
    limiter: Limiter
    name: str  # among gateways: see gateway/identity.py
    flights: Flights = field(default_factory=Flights)
    in_flight: int = 0  # requests for speech that are being worked on
    #: of our own, such as metrics: called with each finished request, before plugins are
    listeners: list[Callable[[Served], None]] = field(default_factory=list)
    served_log: ServedLog | None = None  # None: switched off
    news: asyncio.Task[None] | None = None  # exchanges health news, where they are shared
    reloader: Reloader = field(init=False)

    @classmethod
    def build(
        cls,
        config: Config,
        registry: Registry,
        clock: Clock | None = None,
        look_every_s: float = LOOK_EVERY_S,
        commons: Path | None = None,
    ) -> Runtime:
        """All parts from a configuration; nothing is started, nothing is loaded. Needs a running event loop.

        `look_every_s`: seconds between two looks at the configuration's files, while `reloader` is open.
        `commons`: where the first of several processes listens.
        """
        clock = clock or SystemClock()
        board = Board(clock)
        settings = config.settings
        shared = share(settings, config.environ, clock, commons)
        limiter, name = Limiter(MemoryBuckets(clock), shared.buckets), own_name(settings.data_dir)
        quota = AccountQuota(limiter, shared.patience)
        fleet = Fleet(config.engines, registry.kinds, settings.data_dir, board, name, quota)
        cache = MemoryCache(settings.cache.memory_mb * 1_000_000, _behind(settings, shared))
        outcomes = _outcomes(settings, shared, clock)
        era = Era(config, fleet.members, board)
        runtime = cls(era, registry, clock, board, fleet, cache, outcomes, shared, limiter, name)
        runtime.flights.claims = shared.claims
        if settings.served_log.enabled:
            runtime.served_log = ServedLog(settings.data_dir, settings.served_log)
        runtime.reloader = Reloader(config, runtime.adopt, registry, clock, look_every_s)
        fleet.on_succession = lambda: runtime._begin_era(runtime.config)
        return runtime

    @property
    def config(self) -> Config:
        """The configuration in force now."""
        return self.era.config

    @property
    def store(self) -> Store | None:
        """The Redis that gateways share."""
        return self.shared.store

    def adopt(self, config: Config) -> Changes:
        """Put another configuration into force for requests that come from now on, in one step of the event loop."""
        changes = self.fleet.apply(config.engines)
        self._begin_era(config)
        return changes

    def _begin_era(self, config: Config) -> None:
        self.era.end()
        self.era = Era(config, self.fleet.members, self.board)

    def make_folders(self) -> None:
        """Make the folder for sockets of workers, and that of the cache. Raises OSError with advice when the first
        cannot be written; without the second, speaking goes on."""
        run_dir, clips = self.config.settings.data_dir / "run", self.config.settings.cache.path
        if error := _unwritable(run_dir):
            advice = f"{error}; name another data_dir in gateway.yaml, or set VOXGATE_DATA"
            raise OSError(errno.EACCES, advice, str(run_dir))
        if clips is not None and (error := _unwritable(clips)):
            logger.warning("no clip can be kept under %s (cache.path in gateway.yaml): %s", clips, error)

    async def start(self) -> None:
        """Start the engines, and look for Redis; returns when one engine can speak, or none will soon."""
        if self.served_log:
            self.served_log.start()
        if self.shared.bulletin is not None:
            news = HealthNews(self.shared.bulletin, lambda: self.fleet.members.values(), self.clock)
            self.news = asyncio.create_task(news.run(), name="exchange health news")
        store = [self.store.start()] if self.store else []
        await asyncio.gather(self.fleet.start(), asyncio.to_thread(_load_what_the_first_request_needs), *store)

    async def aclose(self) -> None:
        if self.news is not None:
            self.news.cancel()
            await asyncio.gather(self.news, return_exceptions=True)
        await self.flights.aclose()
        await self.fleet.aclose()
        await self.cache.aclose()
        await self.outcomes.aclose()
        await self.limiter.aclose()
        await self.shared.aclose()
        if self.served_log:
            await self.served_log.aclose()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def patience(self) -> AbstractContextManager[object]:
        """Around one whole request: what it may wait for Redis altogether."""
        return self.shared.patience()

    def tell_served(self, served: Served) -> None:
        """Call our own listeners and every plugin's `on_served`; what one of those raises is logged."""
        for listener in self.listeners:
            listener(served)
        for name, hook in self.registry.served_hooks():
            try:
                hook(record=served)
            except Exception:
                logger.exception("plugin %s: on_served failed", name)


def _behind(settings: Settings, shared: Shared) -> Cache | None:
    """Where clips outlive this process: in Redis, else on disk, else in the first of several processes."""
    cache = settings.cache
    if shared.store is None and cache.path:
        return DiskCache(cache.path, cache.disk_mb * 1_000_000)
    return shared.clips


def _outcomes(settings: Settings, shared: Shared, clock: Clock) -> Outcomes:
    keep, keep_s = settings.outcomes.keep, settings.outcomes.keep_s
    local = MemoryOutcomes(keep, keep_s, clock)
    return SharedOutcomes(shared.records, local, keep_s) if shared.records and keep and keep_s else local


def _unwritable(folder: Path) -> str:
    """Make the folder; why it cannot be made or written, or nothing."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(folder, os.W_OK | os.X_OK) else "not writable"


def _load_what_the_first_request_needs() -> None:
    """Codecs, the resampler and the text libraries are imported at use; while the engines start there is time."""
    load_codecs()
    Resampler(22050, 24000).process(bytes(4410))
    prepare_text("**One.** Two, 三。")
