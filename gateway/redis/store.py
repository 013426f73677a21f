"""One Redis, used within a budget and done without when it fails. Knows nothing about what is kept there.

Every way in which Redis can let a request down, gone, slow, full, read-only, answering nonsense, is one exception,
`Absent`, and costs the request at most `redis.budget_ms` altogether. After a failure nobody asks Redis again until a
probe by the side has found it well. A Redis that refuses writes is still read.

A command that blocks on purpose holds one connection of `pool.MOST_OPEN` and needs a time of its own (`within_s`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from redis.exceptions import NoScriptError

from gateway.absent import Absent
from gateway.clock import Clock
from gateway.configuration.settings import Redis as Settings
from gateway.redis.connection import Ask, Connection, Word
from gateway.redis.faults import Fault, judge
from gateway.redis.pool import Pool, connecting
from gateway.redis.probe import no_answer, of_opening, probe

logger = logging.getLogger("voxgate.redis")
T = TypeVar("T")

#: seconds before the first probe after a failure, and the longest between two; the wait doubles
FIRST_PROBE_S, LAST_PROBE_S = 1.0, 5.0
#: a Redis that stayed well this many seconds has its failures forgotten
FORGET_S = 30.0
#: seconds between two times that the event loop tells apart: uvloop counts milliseconds
TICK_S = 0.001
#: turns that the event loop gets when a budget is over, to read a reply that has come already: under load the time may
#: have gone by in this process
LAST_TURNS = 8
#: seconds that calls under way get to end when all is closed, though each is told to: a turn or two is what they take
CLOSE_S = 1.0
#: kinds of errors of single commands that are logged, each once, and the characters of each
MOST_TOLD, TOLD_CHARS = 20, 120


@dataclass(slots=True)
class Patience:
    """Seconds that one request may still wait for Redis."""

    left_s: float


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


class Store:
    """A Redis of which any command may fail. Made without connecting; the first call opens the first connection."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], clock: Clock) -> None:
        self.prefix = settings.prefix
        self.state: Literal["up", "down"] = "up"
        self.reason = ""  # why it is down, or why it takes no writes
        self.since = clock.now()  # of this state
        self.failed = 0  # calls that were tried and came to nothing
        self.budget_s = settings.budget_ms / 1000
        self._clock = clock
        self._connect = connecting(settings, environ)
        self._pool = Pool(self._connect, self._not_opened)
        self._waits: set[Wait] = set()  # of all calls that are under way
        self._probing: asyncio.Task[None] | None = None
        # times on the loop's clock: of the last change, of the last recovery, of the last reply
        self._changed_s = self._well_since_s = self._heard_s = -math.inf
        self._wait_s = FIRST_PROBE_S
        self._told: set[str] = set()

    async def start(self) -> None:
        """Find out how it is, within a second or so. Never raises: speech does not depend on it."""
        self._become(await self._probe())

    async def aclose(self) -> None:
        self.state, self.reason = "down", "this gateway is stopping"
        self._changed_s = math.inf  # what calls find out from now on says nothing
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        for wait in self._waits:
            wait.end()
        loop = asyncio.get_running_loop()
        until_s = loop.time() + CLOSE_S
        while self._waits and loop.time() < until_s:  # noqa: ASYNC110  # an event would cost each call
            await asyncio.sleep(TICK_S)
        await self._pool.aclose()

    @contextmanager
    def patience(self) -> Iterator[Patience]:
        """Around one whole request: all its calls together wait `budget_ms` at most."""
        patience = Patience(self.budget_s)
        token = _patience.set(patience)
        try:
            yield patience
        finally:
            _patience.reset(token)

    async def call(
        self, command: Callable[[Ask], Awaitable[T]], within_s: float | None = None, *, writes: bool = False
    ) -> T:
        """What `command` makes of the replies to what it asks, all over one connection, one after another.

        It waits `within_s` at most; None: what is left of the request's budget, or a budget of its own outside any.
        With `writes` it is not even tried while Redis refuses writes. Raises Absent, and nothing else.
        """
        if self.state == "down" or (writes and self.reason):
            raise Absent(self.reason)
        patience = _patience.get() if within_s is None else None
        allowed_s = within_s if within_s is not None else patience.left_s if patience else self.budget_s
        if allowed_s < TICK_S:
            raise Absent("the request's time for Redis is spent")
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        connection: Connection | None = None
        wait = Wait(loop, allowed_s)
        self._waits.add(wait)
        try:
            async with wait.timer:
                connection = await self._pool.take()
                try:
                    result = await command(connection.ask)
                except BaseException:
                    await self._pool.discard(connection)
                    raise
                self._pool.give(connection)
        except Exception as error:
            self.failed += 1
            if not wait.timer.expired():
                raise self._blame(error, began_s) from error
            # with little time left, or behind other calls on all connections, it is not Redis that is late; nor when
            # others heard of it meanwhile: then this reply is a large one, or this process has too much to do
            late = allowed_s > self.budget_s / 2 and (connection or not self._pool.all_open)
            if late and self._heard_s <= began_s:
                self._note(no_answer(allowed_s), began_s)
            raise Absent("no answer in time") from None
        finally:
            wait.over()
            self._waits.discard(wait)
            if patience:
                patience.left_s -= loop.time() - began_s
        self._heard_s = loop.time()
        return result

    def script(self, lua: str) -> Script:
        """A Lua script that runs in Redis as one step."""
        return Script(self, lua)

    # --- how it is ---

    def _blame(self, error: BaseException, began_s: float) -> Absent:
        """Draw the conclusions from a call that failed."""
        fault = judge(error)
        if fault.extent != "once":
            self._note(fault, began_s)
        elif fault.reason not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(fault.reason)
            logger.warning("Redis: %s (%s)", fault.reason, str(error)[:TOLD_CHARS])
        return Absent(fault.reason)

    def _not_opened(self, error: Exception, began_s: float) -> None:
        self._note(of_opening(error), began_s)

    def _note(self, fault: Fault, began_s: float) -> None:
        """What a call found out; one begun before the last change says nothing about now."""
        if began_s >= self._changed_s and (fault.extent == "gone" or not self.reason):
            self._become(fault)

    def _become(self, fault: Fault | None) -> None:
        """Remember how Redis is, None: well. What is new is logged, once, and probed until it is well again."""
        state: Literal["up", "down"] = "down" if fault and fault.extent == "gone" else "up"
        reason = fault.reason if fault else ""
        if (state, bool(reason)) != (self.state, bool(self.reason)):
            self._changed_s = asyncio.get_running_loop().time()
            self.since = self._clock.now()
            if state == "down":
                logger.warning("Redis is not used: %s; speech goes on without it", reason)
            elif reason:
                logger.warning("Redis is read, but not written: %s; speech goes on", reason)
            else:
                logger.warning("Redis is used again")
        self.state, self.reason = state, reason
        if reason and self._probing is None:
            # in no request's context: what is logged hereafter has nothing to do with the one that came upon it
            self._probing = asyncio.create_task(self._probe_until_well(), name="probe Redis", context=Context())

    async def _probe_until_well(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._well_since_s > FORGET_S:
            self._wait_s = FIRST_PROBE_S
        while self.reason:
            if self.state == "down":
                await self._pool.drop_free()  # they may be dead without showing it
            await asyncio.sleep(self._wait_s)
            self._wait_s = min(self._wait_s * 2, LAST_PROBE_S)
            self._become(await self._probe())
        self._well_since_s = loop.time()
        self._probing = None

    async def _probe(self) -> Fault | None:
        connection, fault = await probe(self._connect, self.budget_s, self.prefix)
        if connection is not None and not self._pool.open:
            self._pool.add(connection)
        elif connection is not None:
            await connection.close()
        return fault


class Wait:
    """The time of one call: `async with` its timer, which ends it after so many seconds and LAST_TURNS turns."""

    __slots__ = ("_ends", "_loop", "timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.timer, self._loop = asyncio.timeout(None), loop
        self._ends: asyncio.Handle = loop.call_later(seconds, self._take_turn, LAST_TURNS)

    def _take_turn(self, left: int) -> None:
        if left:
            self._ends = self._loop.call_soon(self._take_turn, left - 1)
        else:
            self.end()

    def end(self) -> None:
        """End the call now."""
        if not self.timer.expired():
            self.timer.reschedule(self._loop.time())

    def over(self) -> None:
        """The call has ended, in whatever way."""
        self._ends.cancel()


class Script:
    """A Lua script, sent whole only to a Redis that does not know it yet."""

    def __init__(self, store: Store, lua: str) -> None:
        self._store, self._lua = store, lua
        self._sha = hashlib.sha1(lua.encode(), usedforsecurity=False).hexdigest()  # by which Redis names it

    async def __call__(self, keys: Sequence[str | bytes], args: Sequence[Word], within_s: float | None = None) -> Any:
        """What the script returns. Raises Absent; also, without asking, while Redis refuses writes."""

        async def run(ask: Ask) -> Any:
            try:
                return await ask("EVALSHA", self._sha, len(keys), *keys, *args)
            except NoScriptError:
                return await ask("EVAL", self._lua, len(keys), *keys, *args)

        return await self._store.call(run, within_s, writes=True)
