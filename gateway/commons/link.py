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
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._silent_until_s = 0.0  # on the loop's clock

    async def call(self, target: str, method: str, arguments: tuple[Any, ...], within_s: float = ANSWER_S) -> bytes:
        """The result, still encoded. Raises Absent when the host is gone, does not answer in time, or failed."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._silent_until_s:
            raise Absent(f"{target}.{method}: the host did not answer a moment ago")
        number = next(self._numbers)
        answer: asyncio.Future[msgspec.Raw] = loop.create_future()
        try:
            async with asyncio.timeout(within_s):
                writer = await self._connected()
                self._waiting[number] = answer
                write_frame(writer, encode(Call(number, target, method, msgspec.Raw(encode(arguments)))))
                await writer.drain()
                return bytes(await answer)
        except TimeoutError as error:
            self._silent_until_s = loop.time() + SILENT_S
            if self._writer is not None:
                self._writer.transport.abort()  # with all that was not sent yet
                self._writer = None
            raise Absent(f"{target}.{method}: no answer in time") from error
        except OSError as error:
            self._writer = None
            raise Absent(f"{target}.{method}: {type(error).__name__}") from error
        finally:
            self._waiting.pop(number, None)

    async def aclose(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                reader, self._writer = await asyncio.open_unix_connection(self._path)
                self._listening = asyncio.create_task(self._listen(reader, self._writer))
            return self._writer

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
            if self._writer is writer:
                self._writer = None
            writer.close()
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
