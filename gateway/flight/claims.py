"""Who makes which speech, over several processes: a claim, and behind it what was made so far. And the embedded form.

    claim      one process holds it, by a token of its own, for as long as it keeps writing; then it lapses
    items      what the holder writes behind its token, in order; they stay for some time after the end
    watched    somebody reads them, or did a moment ago

Times are the store's own, so that no process's clock matters. Knows nothing about what the items say.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

#: seconds that a claim lasts since its holder wrote last, and after which it writes again though there is nothing new
LEASE_S, RENEW_S = 3.0, 1.0
#: seconds that items stay after the last one was written, for slow readers
ITEMS_S = 10.0
#: seconds that the claim of a finished speech stays for those who looked into the cache just before its clip was there
LINGER_S = 2.0
#: seconds that somebody who has read counts as a reader
WATCHED_S = 1.5
#: items that are read at once
MOST_ITEMS = 64


class Standing(NamedTuple):
    """What a holder learns when it writes."""

    held: bool  # the claim is still its own, and the items follow on those written before
    watched: bool


class Heard(NamedTuple):
    """What a reader learns. No items, and no longer `held`: the holder is gone, and there will be no more."""

    items: list[bytes]
    held: bool


class Claims(Protocol):
    """Every method may raise Absent (gateway/absent.py): then everybody goes on alone."""

    async def claim(self, flight: str, token: str) -> str:
        """Who makes that speech: `token`, if nobody did until now, else the holder's, which then counts as watched."""

    async def append(self, flight: str, token: str, at: int, items: list[bytes]) -> Standing:
        """Write items as numbers `at` and following, and hold the claim for longer. Without items, only the latter.

        The same call once more, after one that seemed to fail, writes nothing twice.
        """

    async def end(self, flight: str, token: str, at: int, items: list[bytes], linger: bool) -> None:
        """Write the last items and give the claim back: at once, or after `LINGER_S`. For `at`, see `append`."""

    async def read(self, flight: str, token: str, at: int) -> Heard:
        """The items from number `at` on, `MOST_ITEMS` at most; marks them as watched."""


@dataclass(slots=True)
class _Written:
    until_s: float
    items: list[bytes] = field(default_factory=list)
    watched_until_s: float = 0.0


class MemoryClaims:
    """In one process, which the others call. For one event loop."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._holders: dict[str, tuple[str, float]] = {}  # token, and until when
        self._written: dict[str, _Written] = {}  # by token

    async def claim(self, flight: str, token: str) -> str:
        self._forget()
        holder = self._holder(flight)
        if not holder:
            self._holders[flight] = token, self._now_s() + LEASE_S
            self._written[token] = _Written(self._now_s() + LEASE_S)
            return token
        if written := self._written.get(holder):
            written.watched_until_s = self._now_s() + WATCHED_S
        return holder

    async def append(self, flight: str, token: str, at: int, items: list[bytes]) -> Standing:
        if not self._write(flight, token, at, items):
            return Standing(False, False)
        self._holders[flight] = token, self._now_s() + LEASE_S
        return Standing(True, self._written[token].watched_until_s > self._now_s())

    async def end(self, flight: str, token: str, at: int, items: list[bytes], linger: bool) -> None:
        if self._write(flight, token, at, items) and linger:
            self._holders[flight] = token, self._now_s() + LINGER_S
        elif self._holder(flight) == token:
            del self._holders[flight]

    async def read(self, flight: str, token: str, at: int) -> Heard:
        held, written = self._holder(flight) == token, self._written.get(token)
        if written is None or written.until_s <= self._now_s():
            return Heard([], held)
        written.watched_until_s = self._now_s() + WATCHED_S
        return Heard(written.items[at : at + MOST_ITEMS], held)

    def _write(self, flight: str, token: str, at: int, items: list[bytes]) -> bool:
        written = self._written.get(token)
        if written is None or self._holder(flight) != token:
            return False
        if items and len(written.items) not in (at, at + len(items)):
            return False
        if len(written.items) == at:
            written.items += items
        written.until_s = self._now_s() + ITEMS_S
        return True

    def _holder(self, flight: str) -> str:
        token, until_s = self._holders.get(flight, ("", 0.0))
        return token if until_s > self._now_s() else ""

    def _forget(self) -> None:
        now_s = self._now_s()
        self._holders = {name: held for name, held in self._holders.items() if held[1] > now_s}
        self._written = {token: written for token, written in self._written.items() if written.until_s > now_s}
