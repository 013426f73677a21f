"""A stand-in server on a real socket, in a thread of its own: it speaks a dialect, and goes wrong where it is told to.

It remembers what it heard, how many connections were made, and who left before the end. Knows no dialect.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.engines.openai.servers.dialect import Dialect
from tests.engines.openai.servers.faults import Fault
from tests.engines.openai.servers.wire import Heard, read_request, send_reply

Begin = Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Event], None]

#: seconds until a test that waits for the server has failed
PATIENCE_S = 20.0


class Server:
    """Listens from the beginning of the `with` block to its end; `stop()` and `start()` kill it and bring it back."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.port = 0
        self.heard: list[Heard] = []
        self.connections = 0  # made since it began
        self._faults: list[Fault] = []
        self._always: Fault | None = None
        self._came = threading.Condition()

    @property
    def url(self) -> str:
        """As a client is given it: with `/v1` where the dialect has that."""
        return f"http://127.0.0.1:{self.port}{self.dialect.base}"

    @property
    def speeches(self) -> list[Heard]:
        """The requests to speak."""
        return [one for one in self.heard if one.path == self.dialect.speech_path]

    def then(self, *faults: Fault) -> None:
        """The next requests to speak go wrong in these ways, one each."""
        self._faults += faults

    def always(self, fault: Fault | None) -> None:
        """Every request to speak goes wrong so, after those of `then`; None: no more."""
        self._always = fault

    def go_on(self) -> None:
        """What is held is sent on, now and ever after."""
        self._loop.call_soon_threadsafe(self._go_on.set)

    def speech(self, number: int = 1) -> Heard:
        """The request to speak of that number, from 1; waits until it has come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.speeches) >= number, PATIENCE_S), "it never came"
        return self.speeches[number - 1]

    def start(self) -> None:
        """Listen, on the port it had before if there was one."""
        up = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(up),), name=f"stand-in {self.port}")
        self._thread.start()
        assert up.wait(PATIENCE_S), "the stand-in server does not start"

    def stop(self) -> None:
        """Close the socket and every connection."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the stand-in server does not end"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def _serve(self, up: threading.Event) -> None:
        self._loop, self._ended, self._go_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}  # the loop itself would forget them

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
            task = self._loop.create_task(self._talk(reader, writer, gone))
            talks[task] = writer
            task.add_done_callback(talks.pop)

        listening = await self._loop.create_server(lambda: _Connection(begin), "127.0.0.1", self.port)
        self.port = listening.sockets[0].getsockname()[1]
        up.set()
        await self._ended.wait()
        listening.close()
        await asyncio.sleep(0.01)  # who was accepted at this moment is let in, and has a socket to be closed
        for talk, writer in talks.items():
            talk.cancel()
            writer.close()
        await asyncio.sleep(0.01)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
        self.connections += 1
        number = self.connections
        try:
            while (heard := await read_request(reader, number)) is not None:
                if not await self._answer(heard, writer, gone):
                    break
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, heard: Heard, writer: asyncio.StreamWriter, gone: asyncio.Event) -> bool:
        """True when the answer was whole and its client is still there."""
        with self._came:
            self.heard.append(heard)
            self._came.notify_all()
        reply = await self.dialect.answer(heard)
        if heard.path == self.dialect.speech_path and (fault := self._faults.pop(0) if self._faults else self._always):
            reply = fault(reply, self.dialect)
        sending = self._loop.create_task(send_reply(reply, writer, self._go_on))
        leaving = self._loop.create_task(gone.wait())
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            whole = sending.done() and sending.exception() is None and sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
        if whole:
            heard.answered.set()
        elif gone.is_set() or (sending.done() and sending.exception()):
            heard.left.set()
        return whole


class _Connection(asyncio.StreamReaderProtocol):
    """Streams over one connection that tell at once, also while an answer is sent, that the client has gone."""

    def __init__(self, begin: Begin) -> None:
        self._gone = asyncio.Event()
        super().__init__(asyncio.StreamReader(), lambda reader, writer: begin(reader, writer, self._gone))

    def eof_received(self) -> bool | None:
        self._gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        super().connection_lost(exc)
