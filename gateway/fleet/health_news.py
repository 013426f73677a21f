"""What gateways tell one another about the health of engines that they share: little, and never on a request's way.

    cooling   a service said that its quota is used up. The quota is the account's, so that all who use the engine with
              the same options leave it alone for as long
    broken    a breaker is open. That may be one gateway's own network, so that elsewhere it is suspicion only: while
              the news is fresh, one fault of its own opens a breaker there, instead of five

Engines on a gateway's own machine have no news. Each gateway posts what it found out itself, never what it heard, on a
bulletin that all of them read about once a second. Without one, or while it is gone, each goes by what it knows.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from hashlib import blake2b

from gateway.absent import Absent
from gateway.clock import Clock
from gateway.fleet.bulletin import LONGEST_S, Bulletin, News
from gateway.fleet.member import Member

logger = logging.getLogger("voxgate.health")

#: seconds between two looks at the bulletin; after so many, what still holds is posted again, if it was lost there
LOOK_EVERY_S, POST_AGAIN_S = 1.0, 10.0
#: characters of a reason that are told
REASON_CHARS = 200


class HealthNews:
    """One gateway's side: posts what its rows found out, and takes what others did."""

    def __init__(self, bulletin: Bulletin, members: Callable[[], Iterable[Member]], clock: Clock) -> None:
        self._bulletin, self._members, self._clock = bulletin, members, clock
        self._by = uuid.uuid4().hex
        self._posted: set[tuple[News, int]] = set()  # without its time, and until when it holds
        self._posted_s = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.exchange()
            except Absent:
                pass
            except Exception:
                logger.exception("health news are not exchanged")
            await asyncio.sleep(LOOK_EVERY_S)

    async def exchange(self) -> None:
        """Post what is new, and take what others posted. Raises Absent."""
        shared = {digest(member): member for member in self._members() if not member.info.local}
        if not shared and not self._posted:
            return
        now_s = self._clock.monotonic()
        news = [one for engine, member in shared.items() for one in self._found(engine, member, now_s)]
        facts = {(replace(one, for_s=0.0), round(now_s + one.for_s)) for one in news}
        if facts != self._posted or (facts and now_s - self._posted_s > POST_AGAIN_S):
            await self._bulletin.post(self._by, news)
            self._posted, self._posted_s = facts, now_s
        for post in await self._bulletin.read():
            if post.by != self._by:
                for one in post.news:
                    if one.engine in shared:
                        self._take(shared[one.engine], one, min(one.for_s - post.age_s, LONGEST_S), now_s)

    def _found(self, engine: str, member: Member, now_s: float) -> Iterator[News]:
        row = member.row
        if row.throttled_until_s > now_s:
            yield News(engine, "cooling", row.throttled_until_s - now_s, row.last_fault[:REASON_CHARS])
        if row.breaker.open_until_s > now_s:
            yield News(engine, "broken", row.breaker.open_until_s - now_s, row.last_fault[:REASON_CHARS])

    def _take(self, member: Member, news: News, left_s: float, now_s: float) -> None:
        if left_s <= 0:
            return
        if news.what == "cooling":
            member.row.cool(left_s, f"{news.reason[:REASON_CHARS]} (as another gateway was told)")
        else:
            breaker = member.row.breaker
            breaker.suspect_until_s = max(breaker.suspect_until_s, now_s + left_s)


def digest(member: Member) -> str:
    """What an engine is called among gateways: the same name, kind and options."""
    return blake2b(member.fingerprint.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
