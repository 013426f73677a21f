"""The bulletin of health news in a Redis: one hash, a field for each gateway. Times are told by Redis's own clock."""

from __future__ import annotations

import msgspec

from gateway.fleet.bulletin import LONGEST_S, News, Posted
from gateway.redis.store import Store

#: seconds for one exchange: nobody waits for it
WITHIN_S = 1.0
_POST = f"""
local now = redis.call('TIME')[1]
if ARGV[2] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) return end
redis.call('HSET', KEYS[1], ARGV[1], now .. ':' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], {LONGEST_S:.0f})
"""
#: what is so old was posted by a gateway that is gone
_READ = f"""
local now, found, read = redis.call('TIME')[1], redis.call('HGETALL', KEYS[1]), {{}}
for i = 1, #found, 2 do
    local posted, news = string.match(found[i + 1], '^(%d+):(.*)$')
    if posted and now - posted <= {LONGEST_S:.0f} then
        table.insert(read, {{found[i], math.max(0, now - posted), news}})
    else
        redis.call('HDEL', KEYS[1], found[i])
    end
end
return read
"""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[News]).decode


class RedisBulletin:
    """Both methods raise Absent when Redis does not answer in time. Entries that make no sense are passed over."""

    def __init__(self, store: Store) -> None:
        self._keys = [f"{store.prefix}health"]
        self._post, self._read = store.script(_POST), store.script(_READ)

    async def post(self, by: str, news: list[News]) -> None:
        await self._post(self._keys, [by, _encode(news) if news else b""], WITHIN_S)

    async def read(self) -> list[Posted]:
        found = await self._read(self._keys, [], WITHIN_S)
        return [post for by, age_s, news in found if (post := _posted(by, age_s, news))]


def _posted(by: bytes, age_s: int, news: bytes) -> Posted | None:
    try:
        return Posted(by.decode(), age_s, _decode(news))
    except (ValueError, msgspec.MsgspecError):
        return None
