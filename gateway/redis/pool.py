"""Connections to one Redis, each used for one call at a time and thrown away as soon as anything goes wrong on it.

One that was left in the middle of a command may still get that command's reply; another call must never read it. So
only one whose call ended well is used again. They are opened by the side: a caller that gives up waiting does not break
off the opening, and the next finds it open. Knows nothing about what is said over them.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio import connection as redis_py
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.configuration.redis_url import read_redis_url
from gateway.configuration.settings import Redis as Settings
from gateway.redis.connection import OPEN_S, Connection

#: connections at the same time: Redis works on one command at once, and a call is short
MOST_OPEN = 16


class Pool:
    """Up to MOST_OPEN open connections; who finds none free waits in turn for one."""

    def __init__(
        self, connect: Callable[[], redis_py.AbstractConnection], failed: Callable[[Exception, float], None]
    ) -> None:
        """`failed` is told why one could not be opened, and since when, on the loop's clock, that was tried."""
        self._connect, self._failed = connect, failed
        self._free: list[Connection] = []
        self._waiting: deque[asyncio.Future[Connection]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self.open = 0

    @property
    def all_open(self) -> bool:
        """Are there as many as there may be."""
        return self.open >= MOST_OPEN

    async def take(self) -> Connection:
        """A connection for one call; `give` or `discard` it afterwards. Raises the error of an opening that failed."""
        while self._free:
            connection = self._free.pop()  # the one used last: the others may grow old and be closed by the server
            if connection.usable:
                return connection
            await self.discard(connection)
        waiter: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._open_another()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give(waiter.result())
            raise

    def add(self, connection: Connection) -> None:
        """One more, that somebody else has opened."""
        self.open += 1
        self.give(connection)

    def give(self, connection: Connection) -> None:
        """The call on `connection` ended well."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._free.append(connection)

    async def discard(self, connection: Connection) -> None:
        """The call on `connection` did not end well, or was broken off."""
        self.open -= 1
        await connection.close()
        if self._waiting:
            self._open_another()

    async def drop_free(self) -> None:
        """Close every one that nobody uses."""
        free, self._free = self._free, []
        for connection in free:
            await self.discard(connection)

    async def aclose(self) -> None:
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        self._refuse(ConnectionError("closed"))
        await self.drop_free()

    def _open_another(self) -> None:
        if self.open + len(self._opening) < MOST_OPEN:
            task = asyncio.create_task(self._open(), name="connect to Redis")
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        connection, began_s = Connection(self._connect()), asyncio.get_running_loop().time()
        try:
            await connection.open()
        except Exception as error:
            self._refuse(error)
            self._failed(error, began_s)
        else:
            self.add(connection)

    def _refuse(self, error: Exception) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(error)


def connecting(settings: Settings, environ: Mapping[str, str]) -> Callable[[], redis_py.AbstractConnection]:
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
        return lambda: redis_py.UnixDomainSocketConnection(path=address.path, **common)
    common |= {"host": address.host, "port": address.port}
    if not address.tls:
        return lambda: redis_py.Connection(**common)
    context = ssl.create_default_context(cafile=settings.ca_file)

    def connect() -> redis_py.AbstractConnection:
        connection = redis_py.SSLConnection(**common)
        connection.ssl_context.context = context  # loading all certificates for each would take milliseconds
        return connection

    return connect
