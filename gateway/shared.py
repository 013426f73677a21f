"""What the processes of a gateway share: clips, records, claims of flights, limits, news of health. Through a Redis,
which gateways on other machines may use too, or through the first process of `serve --workers N`.

Each part is a small Protocol whose embedded form every process has besides, for when what is shared is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cache import Cache, MemoryCache
from gateway.clock import Clock
from gateway.configuration.settings import Settings
from gateway.fleet.bulletin import Bulletin, MemoryBulletin
from gateway.flight.claims import Claims, MemoryClaims
from gateway.limits.buckets import Buckets
from gateway.limits.memory import MemoryBuckets
from gateway.outcomes.records import MemoryRecords, Records

if TYPE_CHECKING:
    from gateway.commons.link import Link
    from gateway.redis.store import Store


@dataclass(frozen=True, slots=True)
class Shared:
    """None: every process keeps its own. `store` and `link`: what the others go through."""

    clips: Cache | None = None
    records: Records | None = None
    claims: Claims | None = None
    buckets: Buckets | None = None
    bulletin: Bulletin | None = None
    store: Store | None = None
    link: Link | None = None

    def patience(self) -> AbstractContextManager[object]:
        """Around what may wait for Redis only so long altogether."""
        return self.store.patience() if self.store else nullcontext()

    async def aclose(self) -> None:
        if self.store is not None:
            await self.store.aclose()
        if self.link is not None:
            await self.link.aclose()


def share(settings: Settings, environ: Mapping[str, str], clock: Clock, commons: Path | None) -> Shared:
    """Through the Redis of `settings`, else through the process that listens at `commons`, else nothing."""
    if settings.redis.url:
        return _through_redis(settings, environ, clock)
    return _through(commons) if commons else Shared()


def _through_redis(settings: Settings, environ: Mapping[str, str], clock: Clock) -> Shared:
    # at use: the library of Redis takes a tenth of a second
    from gateway.redis.buckets import RedisBuckets
    from gateway.redis.bulletin import RedisBulletin
    from gateway.redis.claims import RedisClaims
    from gateway.redis.clips import RedisCache
    from gateway.redis.records import RedisRecords
    from gateway.redis.store import Store

    store, cache = Store(settings.redis, environ, clock), settings.cache
    clips = RedisCache(store, cache.redis_ttl_s, cache.redis_max_clip_kb * 1000)
    bulletin = RedisBulletin(store)
    return Shared(clips, RedisRecords(store), RedisClaims(store), RedisBuckets(store), bulletin, store=store)


def _through(commons: Path) -> Shared:
    from gateway.commons.clips import HostedCache
    from gateway.commons.link import Link, remote

    link = Link(commons)
    return Shared(
        HostedCache(remote(link, "clips", Cache)),
        remote(link, "records", Records),
        remote(link, "claims", Claims),
        remote(link, "buckets", Buckets),
        remote(link, "bulletin", Bulletin),
        link=link,
    )


def hosted(settings: Settings, clock: Clock) -> Mapping[str, tuple[object, type]]:
    """What the first process holds for the others: each part, and the Protocol by which it is called."""
    return {
        "clips": (MemoryCache(settings.cache.memory_mb * 1_000_000), Cache),
        "records": (MemoryRecords(settings.outcomes.keep, clock), Records),
        "claims": (MemoryClaims(clock.monotonic), Claims),
        "buckets": (MemoryBuckets(clock), Buckets),
        "bulletin": (MemoryBulletin(clock), Bulletin),
    }
