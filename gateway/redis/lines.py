"""Connections to one Redis, each used for one call at a time and thrown away as soon as anything goes wrong on it.

A line that was left in the middle of a command may still get that command's reply; another call must never read it.
So only a line whose call ended well is used again. Lines are opened by the side: a caller that gives up waiting does
not break off the opening, and the next finds the line open. Knows nothing about what is said over a line.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.configuration.redis_url import read_redis_url
from gateway.configuration.settings import Redis as Settings
from gateway.redis.line import OPEN_S, Line

#: lines at the same time: Redis works on one command at once, and a call is short
MOST_LINES = 16


class Lines:
    """Up to MOST_LINES open lines; who finds none free waits in line for one."""

    def __init__(self, connect: Callable[[], AbstractConnection], failed: Callable[[Exception, float], None]) -> None:
        """`failed` is told why a line could not be opened, and since when, on the loop's clock, that was tried."""
        self._connect, self._failed = connect, failed
        self._free: list[Line] = []
        self._waiting: deque[asyncio.Future[Line]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self.open = 0

    @property
    def all_open(self) -> bool:
        """Are there as many as there may be."""
        return self.open >= MOST_LINES

    async def take(self) -> Line:
        """A line for one call; `give` or `discard` it afterwards. Raises the error of an opening that failed."""
        while self._free:
            line = self._free.pop()  # the one used last: the others may grow old and be closed by the server
            if line.usable:
                return line
            await self.discard(line)
        waiter: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._open_another()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give(waiter.result())
            raise

    def add(self, line: Line) -> None:
        """One more, that somebody else has opened."""
        self.open += 1
        self.give(line)

    def give(self, line: Line) -> None:
        """The call on `line` ended well."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(line)
                return
        self._free.append(line)

    async def discard(self, line: Line) -> None:
        """The call on `line` did not end well, or was broken off."""
        self.open -= 1
        await line.close()
        if self._waiting:
            self._open_another()

    async def drop_free(self) -> None:
        """Close every line that nobody uses."""
        free, self._free = self._free, []
        for line in free:
            await self.discard(line)

    async def aclose(self) -> None:
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        self._refuse(ConnectionError("closed"))
        await self.drop_free()

    def _open_another(self) -> None:
        if self.open + len(self._opening) < MOST_LINES:
            task = asyncio.create_task(self._open(), name="open a line to Redis")
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        line, began_s = Line(self._connect()), asyncio.get_running_loop().time()
        try:
            await line.open()
        except Exception as error:
            self._refuse(error)
            self._failed(error, began_s)
        else:
            self.add(line)

    def _refuse(self, error: Exception) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)


def connecting(settings: Settings, environ: Mapping[str, str]) -> Callable[[], AbstractConnection]:
    """What makes a connection, not yet open, to the Redis of `settings`."""
    address = read_redis_url(settings.url)
    password = environ.get(settings.password_env, "") if settings.password_env else address.password
    common: dict[str, Any] = {
        "db": address.db,
        "username": address.username or None,
        "password": password or None,
        "protocol": 3,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,  # a call has one bound, in `Store.call`; here each read would have one more
        "socket_connect_timeout": OPEN_S,
        "driver_info": None,  # two commands less at each opening
    }
    if address.path:
        return lambda: UnixDomainSocketConnection(path=address.path, **common)
    common |= {"host": address.host, "port": address.port}
    if not address.tls:
        return lambda: Connection(**common)
    context = ssl.create_default_context(cafile=settings.ca_file)

    def connect() -> AbstractConnection:
        connection = SSLConnection(**common)
        connection.ssl_context.context = context  # loading all certificates for each line would take milliseconds
        return connection

    return connect
