"""Limits kept in Redis, the same for all gateways that share it. Knows nothing about which limits there are.

All keys of an owner have one hash tag, so that one script may touch them together wherever they lie:

    PREFIXlimits:{key:OWNER}:BUCKET     the bucket's TAT, microseconds of Redis's own clock; gone when it is full
    PREFIXlimits:{key:OWNER}:in-flight  a sorted set of leases by the microsecond of their end

The scripts are `gateway/limits/gcra.py` in Lua, for Redis 6.2 and newer. Its numbers are doubles, exact for whole
numbers below 2^53: microseconds since 1970 are, until 2255. Only their formatting is not, and is spelled out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.absent import Absent
from gateway.limits.buckets import LEASE_US, Correction, Draw, Place, Taken
from gateway.limits.gcra import Bucket, Level
from gateway.redis.store import Store

#: seconds for what no request waits for
ASIDE_S = 1.0

_COMMON: Final = """
local function time()
  local now = redis.call('TIME')
  return now[1] * 1000000 + now[2]
end
local now = tonumber(ARGV[1]) or time()

local function keep(key, tat)
  if tat > now then
    -- a millisecond more than that, because Redis rounds the present down
    redis.call('SET', key, string.format('%.0f', tat), 'PX', string.format('%.0f', math.ceil((tat - now) / 1000) + 1))
  else
    redis.call('DEL', key)
  end
end

local function settled(key, ceiling)
  local tat = tonumber(redis.call('GET', key) or '') or now
  if tat > now + ceiling then
    tat = now + ceiling
    keep(key, tat)
  end
  return math.max(tat, now)
end

local function hold(key, lease, lease_us)
  redis.call('ZADD', key, string.format('%.0f', now + lease_us), lease)
  redis.call('PEXPIRE', key, string.format('%.0f', lease_us / 1000))
end
"""

#: ARGV: now or nothing; how many buckets; of each interval, burst, ceiling, units; of a place lease, most, lease_us
_TAKE: Final = (
    _COMMON
    + """
local count = tonumber(ARGV[2])
local buckets, granted = {}, 1
for i = 1, count do
  local at = 4 * i - 1
  local one = {interval = tonumber(ARGV[at]), burst = tonumber(ARGV[at + 1]), units = tonumber(ARGV[at + 3]), wait = 0}
  one.tat = settled(KEYS[i], tonumber(ARGV[at + 2]))
  if one.units * one.interval > one.burst then
    one.wait = -1
  elseif one.units > 0 then
    one.wait = math.max(one.tat + one.units * one.interval - one.burst - now, 0)
  end
  if one.wait ~= 0 then granted = 0 end
  buckets[i] = one
end

local crowded, places = 0, KEYS[count + 1]
local place = 4 * count + 3
if places then
  local lease_us = tonumber(ARGV[place + 2])
  redis.call('ZREMRANGEBYSCORE', places, '-inf', string.format('%.0f', now))
  redis.call('ZREMRANGEBYSCORE', places, string.format('(%.0f', now + 2 * lease_us), '+inf')
  if redis.call('ZCARD', places) >= tonumber(ARGV[place + 1]) then crowded, granted = 1, 0 end
  if granted == 1 then hold(places, ARGV[place], lease_us) end
end

local reply = {granted, crowded, now}
for i, one in ipairs(buckets) do
  if granted == 1 and one.units > 0 then
    one.tat = one.tat + one.units * one.interval
    keep(KEYS[i], one.tat)
  end
  local left = math.max(now + one.burst - one.tat, 0)
  reply[#reply + 1] = (left - left % one.interval) / one.interval
  reply[#reply + 1] = one.tat - now
  reply[#reply + 1] = one.wait
end
return reply
"""
)

#: ARGV: now or nothing; of each bucket interval, ceiling, taken, used, and when it was taken
_CORRECT: Final = (
    _COMMON
    + """
for i, key in ipairs(KEYS) do
  local at = 5 * i - 3
  local interval, ceiling = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local taken, used, since = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local tat = settled(key, ceiling)
  if used > taken then
    tat = math.min(tat + (used - taken) * interval, now + ceiling)
  else
    local left = math.max(taken * interval - math.max(now - since, 0), 0)
    tat = tat - math.min((taken - used) * interval, left)
  end
  keep(key, tat)
end
"""
)

#: ARGV: now or nothing; lease, lease_us
_RENEW: Final = _COMMON + "hold(KEYS[1], ARGV[2], tonumber(ARGV[3]))"


class RedisBuckets:
    """Buckets by one script call each. All methods raise Absent when Redis does not answer in time.

    `take` waits out of the request's budget; nobody waits for the others. `time_us`, for tests: a clock that stands
    in for Redis's.
    """

    def __init__(self, store: Store, time_us: Callable[[], int] | None = None) -> None:
        self._store, self._time_us = store, time_us
        self._take = store.script(_TAKE)
        self._correct = store.script(_CORRECT)
        self._renew = store.script(_RENEW)

    async def take(self, owner: str, draws: tuple[Draw, ...], place: Place | None) -> Taken:
        keys = [self._key(owner, draw.bucket.name) for draw in draws]
        args = [self._now(), len(draws)]
        for draw in draws:
            args += [*_shape(draw.bucket), draw.units]
        if place is not None:
            keys.append(self._key(owner, "in-flight"))
            args += [place.lease, place.most, LEASE_US]
        reply = await self._take(keys, args)
        try:
            granted, crowded, at_us, *numbers = map(int, reply)
            levels = tuple(Level(*numbers[i : i + 3]) for i in range(0, 3 * len(draws), 3))
        except (TypeError, ValueError) as error:
            raise Absent("its answer about a limit makes no sense") from error
        return Taken(bool(granted), bool(crowded), at_us, levels)

    async def correct(self, owner: str, corrections: tuple[Correction, ...]) -> None:
        args = [self._now()]
        for one in corrections:
            args += [one.bucket.interval_us, one.bucket.ceiling_us, one.taken, one.used, one.at_us]
        await self._correct([self._key(owner, one.bucket.name) for one in corrections], args, ASIDE_S)

    async def renew(self, owner: str, place: Place) -> None:
        await self._renew([self._key(owner, "in-flight")], [self._now(), place.lease, LEASE_US], ASIDE_S)

    async def leave(self, owner: str, place: Place) -> None:
        key = self._key(owner, "in-flight")

        await self._store.call(lambda ask: ask("ZREM", key, place.lease), ASIDE_S, writes=True)

    def _now(self) -> str | int:
        return self._time_us() if self._time_us else ""

    def _key(self, owner: str, what: str) -> str:
        return f"{self._store.prefix}limits:{{key:{owner}}}:{what}"


def _shape(bucket: Bucket) -> tuple[int, int, int]:
    return bucket.interval_us, bucket.burst_us, bucket.ceiling_us
