"""The side that calls: each serving process of `serve --workers N` has one link to the host.

Knows nothing about what is called; the typed front of a link is `remote`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from gateway.absent import Absent
from gateway.commons.wire import Answer, Call, Signature, encode, read_frame, signatures, write_frame

#: seconds an answer may take: the host is on this machine and only looks things up
ANSWER_S = 2.0
#: seconds in which a host that did not answer in time is not asked again: every request would wait as long, several
#: times, and what it is sent would wait here in memory
SILENT_S = 1.0

_decode = msgspec.msgpack.Decoder(Answer).decode


class Link:
    """A connection to the host, made at the first call and again after it broke. For one event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._conversation: _Conversation | None = None
        self._connecting = asyncio.Lock()
        self._silent_until_s = 0.0  # on the loop's clock

    async def call(self, target: str, method: str, arguments: tuple[Any, ...], within_s: float = ANSWER_S) -> bytes:
        """The result, still encoded. Raises Absent when the host is gone, does not answer in time, or failed."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._silent_until_s:
            raise Absent(f"{target}.{method}: the host did not answer a moment ago")
        conversation = None
        try:
            async with asyncio.timeout(within_s):
                conversation = await self._connected()
                return await conversation.ask(target, method, arguments)
        except TimeoutError as error:
            self._silent_until_s = loop.time() + SILENT_S
            if conversation is not None:
                conversation.abort()
            raise Absent(f"{target}.{method}: no answer in time") from error
        except OSError as error:
            if conversation is not None:
                conversation.abort()
            raise Absent(f"{target}.{method}: {type(error).__name__}") from error

    async def aclose(self) -> None:
        if self._conversation is not None:
            await self._conversation.aclose()

    async def _connected(self) -> _Conversation:
        async with self._connecting:
            if self._conversation is None or self._conversation.over:
                self._conversation = _Conversation(*await asyncio.open_unix_connection(self._path))
            return self._conversation


class _Conversation:
    """One connection, with those who wait for an answer on it: when it ends they are told, and nobody else is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.over = False
        self._writer = writer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._listening = asyncio.create_task(self._listen(reader))

    async def ask(self, target: str, method: str, arguments: tuple[Any, ...]) -> bytes:
        """The result, still encoded. Raises Absent or OSError when there will be none."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            write_frame(self._writer, encode(Call(number, target, method, msgspec.Raw(encode(arguments)))))
            await self._writer.drain()
            return bytes(await answer)
        finally:
            del self._waiting[number]
            if answer.done() and not answer.cancelled():
                answer.exception()  # whoever was cancelled meanwhile does not want to know

    def abort(self) -> None:
        """End at once, with all that was not sent yet."""
        self.over = True
        self._writer.transport.abort()

    async def aclose(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Hand answers to who waits for them, until the connection ends; then everybody is told."""
        try:
            while True:
                answer = _decode(await read_frame(reader))
                waiting = self._waiting.get(answer.number)
                if waiting is None or waiting.done():
                    continue  # too late: its caller has gone on without it
                if answer.error:
                    waiting.set_exception(Absent(f"the host failed: {answer.error}"))
                else:
                    waiting.set_result(answer.result)
        except (EOFError, OSError, msgspec.MsgspecError):
            pass
        finally:
            self.over = True
            self._writer.close()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Absent("the host is gone"))


def remote(link: Link, target: str, protocol: Any) -> Any:
    """The host's object `target`, as its Protocol: every public async method calls it. They raise Absent."""
    methods = {name: _method(target, name, signature) for name, signature in signatures(protocol).items()}
    return type(f"Remote{protocol.__name__}", (), methods | {"_link": link})()


def _method(target: str, name: str, signature: Signature) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def call(self: Any, *arguments: Any) -> Any:
        return signature.result.decode(await self._link.call(target, name, arguments))

    return call
