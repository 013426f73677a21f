"""One connection to Redis: commands go out, their replies come back, one call's at a time.

redis-py opens it, with TLS, password and greeting. Then the bytes come here: on its own way a command meets tries, a
pool, measurements and a stream, which take several times as long, and a clip is copied twice more. Knows nothing about
what the commands mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, DefaultParser
from redis.exceptions import ConnectionError, InvalidResponse

#: seconds that connecting, TLS and the greeting may take together
OPEN_S = 1.0
#: what Redis takes for a word of a command
Word = str | bytes | int | float
#: sends one command, and gives its reply: `await ask("GET", key)`. Raises the error that the reply is.
Ask = Callable[..., Coroutine[Any, Any, Any]]

_INCOMPLETE: Final = object()
_pack: Callable[[tuple[Word, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # declared for one word


class Connection(asyncio.Protocol):
    """`ask` and `ask_all` raise redis-py's errors. After any error, and after being left amid a call, close it."""

    def __init__(self, opened: AbstractConnection) -> None:
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._parser = hiredis.Reader(InvalidResponse, DefaultParser.parse_error, notEnoughData=_INCOMPLETE)
        self._replies: list[Any] = []
        self._due = 0  # replies that are still to come
        self._answered: asyncio.Future[None] | None = None  # of the call under way
        self._lost = False

    async def open(self) -> None:
        """Connect and greet within OPEN_S. Raises what redis-py raises, or TimeoutError."""
        try:
            async with asyncio.timeout(OPEN_S):
                await self._opened.connect()  # type: ignore[no-untyped-call]
            if await self._opened.can_read():
                raise InvalidResponse("it says more than it was asked")
            assert self._opened._writer is not None
            self._transport = cast(asyncio.Transport, self._opened._writer.transport)
            self._transport.set_protocol(self)
        except BaseException:
            await self.close()
            raise

    @property
    def usable(self) -> bool:
        """Is it open, and silent as it must be between two calls."""
        return not self._lost

    async def close(self) -> None:
        """Drop the connection, and what is not sent yet with it. Does not wait."""
        self._lost = True
        if self._transport is not None:
            self._transport.abort()
        await self._opened.disconnect(nowait=True)

    async def ask(self, *command: Word) -> Any:
        """The reply to one command."""
        [reply] = await self.ask_all(command)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def ask_all(self, *commands: tuple[Word, ...]) -> list[Any]:
        """The replies to commands that are sent at once; errors stand among them."""
        if self._answered is not None:
            raise RuntimeError("one call speaks over one connection: send commands one after another, or all at once")
        if self._lost or self._transport is None:
            raise ConnectionError("the connection is closed")
        self._answered = asyncio.get_running_loop().create_future()
        self._replies, self._due = [], len(commands)
        try:
            self._transport.write(b"".join(map(_pack, commands)))
            await self._answered
            return self._replies
        finally:
            self._answered, self._replies, self._due = None, [], 0

    # --- what the event loop says ---

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        try:
            while (reply := self._parser.gets()) is not _INCOMPLETE:
                if isinstance(reply, hiredis.PushNotification):
                    continue
                if not self._due:
                    raise InvalidResponse("it says more than it was asked")
                self._replies.append(reply)
                self._due -= 1
        except InvalidResponse as error:
            self._break_off(error)
        else:
            if self._answered is not None and not self._due and not self._answered.done():
                self._answered.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._break_off(error or ConnectionError("the connection was closed"))

    def _break_off(self, error: Exception) -> None:
        self._lost = True
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error)
