"""Where gateways post news of engines' health for one another; `health_news.py` says what for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.clock import Clock

#: seconds after which nothing that was posted holds any more
LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class News:
    """One engine's trouble. `engine` is a digest of its name, kind and options; `for_s`: how long it holds still."""

    engine: str
    what: Literal["cooling", "broken"]
    for_s: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Posted:
    """News on the bulletin, `age_s` after they were posted `by` a gateway."""

    by: str
    age_s: float
    news: list[News]


class Bulletin(Protocol):
    """Holds the latest news of each gateway. One that is kept elsewhere raises Absent when it is not there."""

    async def post(self, by: str, news: list[News]) -> None:
        """These instead of what `by` posted before."""

    async def read(self) -> list[Posted]:
        """The latest of everybody."""


class MemoryBulletin:
    """In the process that holds what others share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._posts: dict[str, tuple[float, list[News]]] = {}

    async def post(self, by: str, news: list[News]) -> None:
        self._posts.pop(by, None)
        if news:
            self._posts[by] = (self._clock.monotonic(), news)

    async def read(self) -> list[Posted]:
        now_s = self._clock.monotonic()
        self._posts = {by: one for by, one in self._posts.items() if now_s - one[0] <= LONGEST_S}
        return [Posted(by, now_s - posted_s, news) for by, (posted_s, news) in self._posts.items()]
