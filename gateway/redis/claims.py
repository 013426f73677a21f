"""Claims on Redis: each call is one Lua script, so that nobody sees half of what another does.

    PREFIXflight:{FLIGHT}:claim           the holder's token
    PREFIXflight:{FLIGHT}:items:TOKEN     a list
    PREFIXflight:{FLIGHT}:watched:TOKEN   there while somebody reads

Knows nothing about what the items say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.flight.claims import ITEMS_S, LEASE_S, LINGER_S, MOST_ITEMS, WATCHED_S, Heard, Standing
from gateway.redis.store import Store

#: seconds for a call by the side of requests, which none of them waits for
ASIDE_S = 1.0

# KEYS: claim. ARGV: token, lease ms, watched ms, what the key of watched begins with.
_CLAIM = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return ARGV[1] end
local holder = redis.call('GET', KEYS[1])
redis.call('SET', ARGV[4] .. holder, 1, 'PX', ARGV[3])
return holder
"""

# KEYS: claim, items, watched. ARGV: token, at, lease ms, items' ms, then the items.
# LLEN tells a call that was carried out though its answer was lost, and a Redis that came back with an older state.
_WRITE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0, 0} end
local more, have = #ARGV - 4, redis.call('LLEN', KEYS[2])
if more > 0 then
  if have == tonumber(ARGV[2]) then
    redis.call('RPUSH', KEYS[2], unpack(ARGV, 5))
  elseif have ~= tonumber(ARGV[2]) + more then
    return {0, 0}
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
if tonumber(ARGV[3]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) else redis.call('DEL', KEYS[1]) end
return {1, redis.call('EXISTS', KEYS[3])}
"""

# KEYS: claim, items, watched. ARGV: token, at, last, watched ms.
_READ = """
redis.call('SET', KEYS[3], 1, 'PX', ARGV[4])
local held = redis.call('GET', KEYS[1]) == ARGV[1]
return {held and 1 or 0, redis.call('LRANGE', KEYS[2], ARGV[2], ARGV[3])}
"""


class RedisClaims:
    """`gateway.flight.claims.Claims`. Every method raises Absent when Redis does not answer in time."""

    def __init__(self, store: Store) -> None:
        self._prefix = f"{store.prefix}flight:"
        self._claim, self._write, self._read = (store.script(lua) for lua in (_CLAIM, _WRITE, _READ))

    async def claim(self, flight: str, token: str) -> str:
        claim, _, watched = self._keys(flight, "")
        holder = await self._claim([claim], [token, _ms(LEASE_S), _ms(WATCHED_S), watched])
        return str(holder.decode())

    async def append(self, flight: str, token: str, at: int, items: list[bytes]) -> Standing:
        held, watched = await self._written(flight, token, at, LEASE_S, items)
        return Standing(bool(held), bool(watched))

    async def end(self, flight: str, token: str, at: int, items: list[bytes], linger: bool) -> None:
        await self._written(flight, token, at, LINGER_S if linger else 0.0, items)

    async def read(self, flight: str, token: str, at: int) -> Heard:
        until = at + MOST_ITEMS - 1
        held, items = await self._read(self._keys(flight, token), [token, at, until, _ms(WATCHED_S)], ASIDE_S)
        return Heard(items, bool(held))

    async def _written(self, flight: str, token: str, at: int, claim_s: float, items: Sequence[bytes]) -> Any:
        keys = self._keys(flight, token)
        return await self._write(keys, [token, at, _ms(claim_s), _ms(ITEMS_S), *items], ASIDE_S)

    def _keys(self, flight: str, token: str) -> list[str]:
        """Of one flight, all in one slot of a cluster."""
        flight = f"{self._prefix}{{{flight}}}"
        return [f"{flight}:claim", f"{flight}:items:{token}", f"{flight}:watched:{token}"]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
