"""The side that holds the shared objects: the first process of `serve --workers N`.

A thread with an event loop of its own serves them, since that process only waits for its children otherwise. The
objects live in that loop and need no locks. Knows nothing about what the objects do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from gateway.commons.wire import Answer, Call, encode, read_frame, signatures, write_frame

logger = logging.getLogger("voxgate.commons")

_decode = msgspec.msgpack.Decoder(Call).decode
_NOTHING = msgspec.Raw(encode(None))


class Host:
    """Serves `objects`, each with the Protocol that it is called by, on a unix socket at `path`, while it is open."""

    def __init__(self, path: Path, objects: Mapping[str, tuple[object, type]]) -> None:
        self.path, self._objects = path, objects
        self._thread = threading.Thread(target=self._run, name="commons", daemon=True)
        self._conversations: set[asyncio.Task[None]] = set()
        self._running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    def __enter__(self) -> Self:
        """Listen. Raises OSError when the socket cannot be made."""
        self.path.unlink(missing_ok=True)  # of a process that was killed and had our number
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            self._socket.bind(str(self.path))
        except OSError:
            self._socket.close()
            raise
        finally:
            os.umask(mask)
        self._thread.start()
        self._running.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, over = self._running.result()
        loop.call_soon_threadsafe(over.set)
        self._thread.join()
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._listen())
        except BaseException as error:
            if not self._running.done():
                self._running.set_exception(error)
            raise

    async def _listen(self) -> None:
        over = asyncio.Event()
        server = await asyncio.start_unix_server(self._serve, sock=self._socket)
        self._running.set_result((asyncio.get_running_loop(), over))
        await over.wait()
        server.close()
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One process, until it is gone. Calls are answered in their order: what is called never waits for long."""
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            while True:
                call = _decode(await read_frame(reader))
                write_frame(writer, encode(await self._answer(call)))
                await writer.drain()
        except (EOFError, ConnectionError):
            pass
        except asyncio.CancelledError:
            pass  # the host ends; a server's task has nobody else to tell
        except Exception:
            logger.exception("a process is served no more")
        finally:
            self._conversations.discard(task)
            writer.close()

    async def _answer(self, call: Call) -> Answer:
        try:
            target, protocol = self._objects[call.target]
            signature = signatures(protocol)[call.method]
            result = await getattr(target, call.method)(*signature.arguments.decode(call.arguments))
            return Answer(call.number, "", msgspec.Raw(encode(result)))
        except Exception as error:
            logger.exception("%s.%s failed", call.target, call.method)
            return Answer(call.number, type(error).__name__, _NOTHING)
